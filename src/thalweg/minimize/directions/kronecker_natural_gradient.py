r"""The natural gradient by Kronecker factors (K-FAC, EKFAC), its length by the exact matrix.

    A <- epsilon A + (1 - epsilon) A of this step,       epsilon = min(1 - 1/k, 0.95)
    Delta = -(A + lambda I)^-1 g
    d = alpha Delta + mu delta,   delta the last step,   alpha and mu minimize
        g'd + d'(B + lambda I)d / 2

B is the Gauss-Newton matrix, which for the usual losses is the Fisher information. The factors A
are cheap to invert but only like B; products with B itself, two a step, then say how far to go
along what they propose, and how much of the last step to keep: so there is neither a learning rate
nor a momentum to choose, though either may be given. lambda follows the reduction ratio, here that
of the model without damping, by Levenberg and Marquardt's rule.

A minibatch each step, the parts that cost most can wait: factors are made every few steps, and
taken apart every few (`directions.factor_average`); lambda alone may change at any step, for
eigenvalues it is added to.

J. Martens & R. Grosse (arXiv 1503.05671), sections 5, 6 and 7, algorithm 2; T. George et al. (arXiv
1806.03884), algorithm 1, for corrected eigenvalues.

Cost: that of the factors, their eigenvectors, and two products with B. Memory: the factors three
times.
"""

from collections.abc import Mapping
from typing import Any, final, get_args

from torch import Tensor

from thalweg.minimize.contract import Need, Place, Proposal
from thalweg.minimize.directions.damping import first_damping, thresholds
from thalweg.minimize.directions.factor_average import FactorAverage
from thalweg.minimize.directions.first_length import first_step
from thalweg.minimize.directions.quadratic_model import (
    Promise,
    combined,
    proposed,
    restored,
    saved,
)
from thalweg.minimize.directions.settings import (
    check_choice,
    check_count,
    check_not_negative,
    check_positive,
    check_share,
)
from thalweg.operators.evaluation import Sharing
from thalweg.operators.factored import Damping
from thalweg.operators.output_root import Kind


@final
class KroneckerNaturalGradient:
    """The natural gradient by Kronecker factors.

    Args:
        corrected: whether the factors' eigenvalues are corrected (EKFAC).
        step: alpha; None for the exact model's.
        momentum: mu, 0 for none; None for the exact model's.
        damping: lambda at the start, as a share of B's curvature along the first gradient.
        damping_every: steps from one change of lambda to the next; None for a lambda that stays.
        damping_factor: lambda's at a change where the model was good; divides it where it was poor.
        split: how the damping enters two factors; see `Kronecker.inverse`.
        decay: epsilon at most, the weight of the factors before; 0 for the step's own alone.
        factors_every: steps from one making of factors to the next.
        eigenvectors_every: steps from one taking apart of the averaged factors to the next.
        kind, draws, sharing: of the factors; see `operators.Kronecker`. "monte-carlo" draws anew at
            each making.
        penalty: c of a penalty c w'w / 2 that is part of the loss but not of the matrices.

    Attributes:
        damping: lambda of the next step; None before the first.

    Raises:
        ValueError: a setting out of its domain.
    """

    def __init__(
        self,
        *,
        corrected: bool = False,
        step: float | None = None,
        momentum: float | None = None,
        damping: float = 0.1,
        damping_every: int | None = 1,
        damping_factor: float = 2 / 3,
        split: Damping = "factored",
        decay: float = 0.95,
        factors_every: int = 1,
        eigenvectors_every: int = 1,
        kind: Kind = "exact",
        draws: int = 1,
        sharing: Sharing = "expand",
        penalty: float = 0.0,
    ) -> None:
        caller = type(self).__name__
        check_positive(caller, "step", step)
        check_not_negative(caller, "momentum", momentum)
        check_positive(caller, "damping", damping)
        check_count(caller, "damping_every", damping_every or 1)
        check_share(caller, "damping_factor", damping_factor)
        check_choice(caller, "split", split, get_args(Damping))
        check_not_negative(caller, "penalty", penalty)
        self.corrected, self.step, self.momentum = corrected, step, momentum
        self.share, self.damping_every, self.damping_factor = damping, damping_every, damping_factor
        self.split, self.penalty = split, penalty
        self.damping: float | None = None
        self._average = FactorAverage(
            corrected=corrected,
            decay=decay,
            factors_every=factors_every,
            eigenvectors_every=eigenvectors_every,
            kind=kind,
            draws=draws,
            sharing=sharing,
        )
        self._steps = 0
        self._last: Tensor | None = None
        self._promise: Promise | None = None

    @property
    def name(self) -> str:
        """As users write it."""
        return "ek-fac" if self.corrected else "k-fac"

    @property
    def needs(self) -> frozenset[Need]:
        """The matrices that it asks places for."""
        return frozenset({"gauss-newton", self._average.need})

    def propose(self, at: Place) -> Proposal:
        """The step."""
        exact, gradient = at.gauss_newton(), at.gradient
        if not self.damping:
            self.damping = first_damping(exact, gradient, self.share)
        damping = self.damping + self.penalty
        if not damping:
            self._promise = None
            return uncurved(at)
        factors = self._average.at(at, self._steps)
        self._steps += 1
        delta = -factors.solve(gradient, damping, split=self.split)
        directions, weights = [delta], [self.step]
        if self._last is not None:
            directions.append(self._last)
            weights.append(self.momentum)
        d, curvature = combined(exact, gradient, directions, damping, weights)
        curvature += self.penalty * float(d.double() @ d.double())
        proposal = proposed(d, gradient, curvature=curvature)
        self._promise = Promise.of(proposal)
        return proposal

    def moved(self, before: Place, after: Place) -> None:
        """The next damping; the step, for its momentum."""
        self._last = None if self.momentum == 0 else after.x - before.x
        if self._promise is not None and self.damping is not None and self.judges:
            ratio = self._promise.ratio(before, after)
            self.damping = thresholds(self.damping, ratio, self._promise.bend, self.damping_factor)

    @property
    def judges(self) -> bool:
        """Whether the step that was just proposed is one after which the damping changes."""
        return self.damping_every is not None and self._steps % self.damping_every == 0

    def state_dict(self) -> dict[str, Any]:
        """The damping, the last step, how many there were, and the factors' averages."""
        return {
            "damping": self.damping,
            "last": None if self._last is None else self._last.clone(),
            "steps": self._steps,
            "factors": self._average.state_dict(),
            "promise": saved(self._promise),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of this direction."""
        self.damping, last = state["damping"], state["last"]
        self._last = None if last is None else last.clone()
        self._steps = state["steps"]
        self._average.load_state_dict(state["factors"])
        self._promise = restored(state["promise"])


def uncurved(at: Place) -> Proposal:
    """Along the negative gradient, where the model has no curvature along it to rounding.

    A network that is quite sure, rightly or wrongly, has such a loss: no damping has its units.
    """
    d = -at.gradient
    return Proposal(d, -float(d.double() @ d.double()), first_step(at.x, d))
