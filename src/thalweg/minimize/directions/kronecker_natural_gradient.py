r"""The natural gradient by Kronecker factors (K-FAC, EKFAC), its length by the exact Fisher.

    A <- epsilon A + (1 - epsilon) A of this step,       epsilon = min(1 - 1/k, 0.95)
    Delta = -(A + lambda I)^-1 g
    d = alpha Delta + mu delta,   delta the last step,   alpha and mu minimize
        g'd + d'(F + lambda I)d / 2

The factors A are cheap to invert but only like F; products with the exact F, two a step, then say
how far to go along what they propose, and how much of the last step to keep: so there is neither a
learning rate nor a momentum to choose. lambda follows the reduction ratio, here that of the model
without damping, by Levenberg and Marquardt's rule.

J. Martens & R. Grosse (arXiv 1503.05671), sections 5, 6.3 to 6.6 and 7; T. George et al. (arXiv
1806.03884) for corrected eigenvalues, which belong to bases of their own and are not averaged.

Cost: that of the factors, their eigenvectors, and two products with F. Memory: the factors twice.
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, final, get_args

from torch import Tensor

from thalweg.minimize.contract import Need, Place, Proposal
from thalweg.minimize.directions.damping import first_damping, thresholds
from thalweg.minimize.directions.quadratic_model import Promise, combined, proposed, restored, saved
from thalweg.minimize.directions.settings import check_choice, check_positive, check_share
from thalweg.operators import EigenvalueCorrected, Kronecker
from thalweg.operators.factored import Damping

Factors = Callable[[Tensor], Kronecker]


@final
class KroneckerNaturalGradient:
    """The natural gradient by Kronecker factors.

    Args:
        factors: from a flat point, shape (n,), to `Kronecker` or `EigenvalueCorrected` there.
        damping: lambda at the start, as a share of F's curvature along the first gradient.
        decay: epsilon at most, the weight of the factors before; 0 for the step's own alone, as
            corrected eigenvalues always are.
        momentum: whether the last step takes part.
        split: how the damping enters two factors; see `Kronecker.inverse`.

    Attributes:
        damping: lambda of the next step; None before the first.

    Raises:
        ValueError: a setting out of its domain.
    """

    name = "k-fac"
    needs: frozenset[Need] = frozenset({"fisher"})

    def __init__(
        self,
        factors: Factors,
        *,
        damping: float = 0.1,
        decay: float = 0.95,
        momentum: bool = True,
        split: Damping = "factored",
    ) -> None:
        check_positive(type(self).__name__, "damping", damping)
        check_share(type(self).__name__, "decay", decay or None)
        check_choice(type(self).__name__, "split", split, get_args(Damping))
        self.factors, self.share, self.decay = factors, damping, decay
        self.momentum, self.split = momentum, split
        self.damping: float | None = None
        self._average: Kronecker | None = None
        self._steps = 0
        self._last: Tensor | None = None
        self._promise: Promise | None = None

    def propose(self, at: Place) -> Proposal:
        """The step."""
        fisher = at.fisher()
        self.damping = self.damping or first_damping(fisher, at.gradient, self.share)
        self._average = self._averaged(self.factors(at.x))
        delta = -self._average.solve(at.gradient, self.damping, split=self.split)
        basis = [delta] if self._last is None else [delta, self._last]
        d, curvature = combined(fisher, at.gradient, basis, self.damping)
        proposal = proposed(d, at.gradient, curvature=curvature)
        self._promise = Promise.of(proposal)
        return proposal

    def moved(self, before: Place, after: Place) -> None:
        """The next damping; the step, for its momentum."""
        self._last = after.x - before.x if self.momentum else None
        if self._promise is not None and self.damping is not None:
            ratio = self._promise.ratio(before, after)
            self.damping = thresholds(self.damping, ratio, self._promise.bend)

    def state_dict(self) -> dict[str, Any]:
        """The damping, the last step, the averaged factors (an operator) and their number."""
        return {
            "damping": self.damping,
            "last": None if self._last is None else self._last.clone(),
            "factors": deepcopy(self._average),
            "steps": self._steps,
            "promise": saved(self._promise),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of this direction."""
        self.damping, last = state["damping"], state["last"]
        self._last = None if last is None else last.clone()
        self._average, self._steps = deepcopy(state["factors"]), state["steps"]
        self._promise = restored(state["promise"])

    def _averaged(self, newer: Kronecker) -> Kronecker:
        """The running average with the factors of this step."""
        self._steps += 1
        decay = min(1 - 1 / self._steps, self.decay)
        if self._average is None or not decay or isinstance(newer, EigenvalueCorrected):
            return newer
        return self._average.averaged(newer, decay)
