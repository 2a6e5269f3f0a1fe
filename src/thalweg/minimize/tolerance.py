r"""When a run has come to a critical point, measured against the problem's own scale.

Both must hold:

    |g|_inf      <=  tol |g_0|_inf
    expected     <=  (tol / 1000)^2 (|f| + f_0 - f),  or the rounding of |f| where that is more

`expected` is the decrease that the direction's model promises, half of -alpha g'd. The gradient
alone would not do: from a start far away, where it is huge, a millionth of it may still be a steep
slope, while a method that converges goes three digits further for one or two evaluations. A
gradient falls with the root of the loss, hence the squares. Where the gradient is small and a
search finds nothing lower, the second condition is taken for fulfilled.

Nothing here has a unit. Multiplying the loss by any constant multiplies both sides alike, so that
a run takes the same steps and ends at the same point.
"""

from dataclasses import dataclass
from typing import final

from thalweg.minimize.contract import Proposal

# The digits of the gradient that a start far away may hide.
FAR_START = 1e-3


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
        drop = max(self.value - value, 0.0)
        share = (FAR_START * self.tol) ** 2
        return max(share, self.eps) * abs(value) + share * drop


def expected_decrease(proposal: Proposal) -> float:
    """What the direction's model promises of the loss, at least 0.

    With a curvature k = d'Bd above zero, slope^2 / 2k; else half of what the first step would give
    if the slope stayed.
    """
    if proposal.curvature is not None and proposal.curvature > 0:
        return proposal.slope**2 / (2 * proposal.curvature)
    return max(-proposal.slope * proposal.length / 2, 0.0)
