"""Running averages of Kronecker factors over the steps of a run, and the operator to solve with.

Three things are done at intervals of their own, each at the first steps too: the factors of a step
are made and averaged; the averages are taken apart by their eigenvectors; and (EKFAC) the averaged
eigenvalues are carried over into the new eigenvectors. What is solved with in between are the
factors as they were taken apart, with corrected eigenvalues as new as the last step's.

J. Martens & R. Grosse (arXiv 1503.05671), section 5 and algorithm 2; T. George et al. (arXiv
1806.03884), algorithm 1.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, final

from thalweg.minimize.contract import Need, Place
from thalweg.minimize.directions.settings import check_count, check_share
from thalweg.operators import EigenvalueCorrected, Kronecker
from thalweg.operators.evaluation import Settings, Sharing
from thalweg.operators.kronecker import checked
from thalweg.operators.output_root import Kind

# The first averages change fast; nothing waits for its interval before so many steps.
FIRST_STEPS = 3


@final
class FactorAverage:
    """The averages, as they go on from step to step.

    Args:
        corrected: whether eigenvalues are corrected.
        decay: the weight of what was averaged before, at most; bias-corrected, so that the k-th
            average begins as the plain mean of k.
        factors_every: steps from one making of factors to the next.
        eigenvectors_every: steps from one taking apart to the next.
        kind, draws, sharing: of the factors; see `operators.Kronecker`. What is drawn is drawn anew
            each time.

    Raises:
        ValueError: a setting out of its domain.
    """

    def __init__(
        self,
        *,
        corrected: bool,
        decay: float,
        factors_every: int,
        eigenvectors_every: int,
        kind: Kind,
        draws: int,
        sharing: Sharing,
    ) -> None:
        caller = "KroneckerNaturalGradient"
        self._settings = checked(Settings(kind, draws, sharing=sharing), caller)
        check_share(caller, "decay", decay or None)
        check_count(caller, "factors_every", factors_every)
        check_count(caller, "eigenvectors_every", eigenvectors_every)
        self.corrected, self.decay = corrected, decay
        self.factors_every, self.eigenvectors_every = factors_every, eigenvectors_every
        self._average: Kronecker | None = None
        self._used: Kronecker | None = None
        self._count = 0

    @property
    def need(self) -> Need:
        """What it asks places for."""
        return "eigenvalue-corrected" if self.corrected else "kronecker"

    def at(self, place: Place, step: int) -> Kronecker:
        """What to solve with at a place.

        Args:
            place: of this step.
            step: how many there were before it.
        """
        if self._average is None or due(step, self.factors_every):
            self._average = self._averaged(place)
            if self.corrected:
                self._used = self._average
        if self._used is None or due(step, self.eigenvectors_every):
            self._average = self._used = refreshed(self._average)
        return self._used

    def _averaged(self, place: Place) -> Kronecker:
        """The average with the factors of this place."""
        before = self._average
        newer = self._made(place, replace(self._settings, seed=self._count), before)
        self._count += 1
        if before is None:
            return newer
        return before.averaged(newer, min(1 - 1 / self._count, self.decay))

    def _made(self, place: Place, settings: Settings, basis: Kronecker | None) -> Kronecker:
        if self.corrected:
            return place.eigenvalue_corrected(settings, basis)
        return place.kronecker(settings)

    def state_dict(self) -> dict[str, Any]:
        """A copy in plain tensors."""
        return {
            "average": saved_factors(self._average),
            "used": None if self._used is self._average else saved_factors(self._used),
            "count": self._count,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a copy that `state_dict` made."""
        kind = EigenvalueCorrected if self.corrected else Kronecker
        self._count = state["count"]
        self._average = restored_factors(kind, state["average"])
        used = restored_factors(kind, state["used"])
        self._used = self._average if used is None else used


def due(step: int, interval: int) -> bool:
    """Whether something that is done at intervals is done at a step."""
    return step < FIRST_STEPS or step % interval == 0


def refreshed(average: Kronecker) -> Kronecker:
    """The average in its own eigenvectors, which plain factors always are."""
    return average.refreshed() if isinstance(average, EigenvalueCorrected) else average


def saved_factors(factors: Kronecker | None) -> dict[str, Any] | None:
    """A copy of an operator in plain tensors; None of none."""
    return None if factors is None else factors.state_dict()


def restored_factors(kind: type[Kronecker], state: Mapping[str, Any] | None) -> Kronecker | None:
    """The operator that `saved_factors` wrote down."""
    return None if state is None else kind.from_state_dict(state)
