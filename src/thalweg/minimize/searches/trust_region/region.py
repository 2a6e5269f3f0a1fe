"""The trust region: how far the model is believed, and what minimizes it there."""

import math
from collections.abc import Mapping
from typing import Any, Literal, final, get_args

from torch import Tensor

from thalweg.minimize.contract import Subproblem, TrialStep
from thalweg.minimize.searches.trust_region.cauchy import Cauchy
from thalweg.minimize.searches.trust_region.dogleg import Dogleg
from thalweg.minimize.searches.trust_region.exact import Exact
from thalweg.minimize.searches.trust_region.radius import first_radius, next_radius
from thalweg.minimize.searches.trust_region.steihaug import Steihaug
from thalweg.operators import Operator

SubproblemName = Literal["cauchy", "dogleg", "steihaug", "exact"]
SUBPROBLEMS: dict[SubproblemName, type[Subproblem]] = {
    "cauchy": Cauchy,
    "dogleg": Dogleg,
    "steihaug": Steihaug,
    "exact": Exact,
}

# Of the way that the gradient lasts: at its very end rounding would decide what lies inside.
ROOM = 2.0


@final
class TrustRegion:
    """Steps to the minimum of a direction's model within a radius, in place of a line search.

    Args:
        subproblem: how the model is minimized there: "steihaug" with products alone, "exact" or
            "dogleg" with the matrix written down, "cauchy" along the gradient; or an object.
        radius: at the start, in the parameters' units; None for twice as far as the model says that
            the gradient lasts, or where it does not say, for the first step of a line search.
        longest: the largest radius.

    Attributes:
        radius: of the next step; None before the first, where the model is to say.

    Raises:
        ValueError: a subproblem that is not known, or a length that is not positive.
    """

    def __init__(
        self,
        subproblem: SubproblemName | Subproblem = "steihaug",
        *,
        radius: float | None = None,
        longest: float = math.inf,
    ) -> None:
        check_lengths(radius, longest)
        self.subproblem = (
            named_subproblem(subproblem) if isinstance(subproblem, str) else subproblem
        )
        self.longest = longest
        self.radius = self._first = radius

    def trial(self, model: Operator, gradient: Tensor, otherwise: float) -> TrialStep:
        """The step to try.

        Args:
            model: B.
            gradient: g, not zero or B not known to be positive, shape (n,).
            otherwise: the first radius where the model says nothing of it.
        """
        if self.radius is None:
            first = ROOM * first_radius(model, gradient, otherwise / ROOM)
            self.radius = min(first, self.longest)
        return self.subproblem.step(model, gradient, self.radius)

    def judged(self, ratio: float, trial: TrialStep) -> None:
        """The next radius, after a trial step of this ratio of reductions."""
        if self.radius is not None:
            self.radius = next_radius(self.radius, ratio, trial, self.longest)

    def forget(self) -> None:
        """The radius is that of the start again."""
        self.radius = self._first

    def state_dict(self) -> dict[str, Any]:
        """The radius, from which `load_state_dict` goes on exactly."""
        return {"radius": self.radius}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a copy that `state_dict` made."""
        self.radius = state["radius"]


def named_subproblem(name: SubproblemName) -> Subproblem:
    """A new one; raises ValueError on a name that none has."""
    if name not in SUBPROBLEMS:
        choices = ", ".join(get_args(SubproblemName))
        raise ValueError(f"TrustRegion({name!r}): not known; choose one of {choices}.")
    return SUBPROBLEMS[name]()


def check_lengths(radius: float | None, longest: float) -> None:
    """Raise ValueError unless the radii are positive, the first no larger than `longest`."""
    if radius is not None and not 0 < radius < math.inf:
        raise ValueError(f"TrustRegion(radius={radius}): give a positive length, or None.")
    if not longest > 0 or (radius or 0.0) > longest:
        raise ValueError(
            f"TrustRegion(radius={radius}, longest={longest}): give the largest radius, positive "
            "and no smaller than the first."
        )
