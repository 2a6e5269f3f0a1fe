r"""When a run has come to a critical point, measured against the problem's own scale.

Both must hold:

    |g|_inf      <=  tol |g_0|_inf
    expected     <=  tol^4 (|f| + f_0 - f),  or a hundredth of |f|'s rounding where that is more

`expected` is the decrease that the direction's model promises, half of -alpha g'd. The gradient
alone would not do: from a start far away, where it is huge, a millionth of it may still be a steep
slope. A start may be as far away as to have a gradient 1 / tol times what is usual; a gradient
falls with the root of the loss, hence tol^4. A method that converges gets there in one evaluation
or two. In a narrow valley a model may promise a hundredth of what there is; below the rounding of
|f|, gradients still tell. Where the gradient is small and a search finds nothing lower, the second
condition is taken for fulfilled.

Nothing here has a unit. Multiplying the loss by any constant multiplies both sides alike, so that
a run takes the same steps and ends at the same point.
"""

from dataclasses import dataclass
from typing import final

from thalweg.minimize.contract import Proposal

# Of the decrease that a gradient at the tolerance promises, the root of the share that tells a
# saddle. Less may be the rounding of sums whose terms are as large as the losses met on the way.
TELLING = 1e-3
# Of the rounding of |f|, what a promised decrease may be; the model may be wrong by as much.
PROMISED = 0.01


@final
@dataclass(frozen=True)
class Tolerance:
    """What counts as nothing, given how the run began.

    Attributes:
        tol: relative, of the gradient.
        gradient: |g_0|_inf.
        value: f_0.
        eps: unit of rounding of the loss's precision.
    """

    tol: float
    gradient: float
    value: float
    eps: float

    def flat(self, size: float) -> bool:
        """Whether a gradient of this size is small."""
        return size <= self.tol * self.gradient

    def negligible(self, value: float) -> float:
        """The decrease of the loss that does not count any more where it is `value`."""
        return self._share(self.tol**4, value, PROMISED * self.eps)

    def telling(self, value: float) -> float:
        """The decrease next to a critical point of this value that tells it from a minimum."""
        return self._share((TELLING * self.tol) ** 2, value, self.eps)

    def _share(self, share: float, value: float, least: float) -> float:
        """`share` of |f| + f_0 - f, and at least `least` of |f|."""
        drop = max(self.value - value, 0.0)
        return max(share, least) * abs(value) + share * drop


def expected_decrease(proposal: Proposal) -> float:
    """What the direction's model promises of the loss, at least 0.

    With a curvature k = d'Bd above zero, slope^2 / 2k; else half of what the first step would give
    if the slope stayed.
    """
    if proposal.curvature is not None and proposal.curvature > 0:
        return proposal.slope**2 / (2 * proposal.curvature)
    return max(-proposal.slope * proposal.length / 2, 0.0)
