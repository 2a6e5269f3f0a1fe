r"""Steps of a trust region: try, compare with what the model promised, take or try nearer.

    d minimizes m(d) = g'd + d'Bd / 2 within the radius,    rho = (f(x) - f(x + d)) / -m(d)

The radius follows rho (`trust_region.radius`), and the model learns from every trial. Where the
loss changes by its rounding alone rho says nothing, and a step is taken if the gradient after it is
smaller.

J. Nocedal & S. Wright, *Numerical Optimization* (2006), algorithms 4.1 and 6.2; A. Conn, N. Gould &
P. Toint, *Trust-Region Methods* (2000), chapter 6.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, final

import torch

from thalweg.minimize.contract import Model, SearchStatus, TrialStep
from thalweg.minimize.counts import rejected_by
from thalweg.minimize.directions.first_length import first_step
from thalweg.minimize.inner_product import dot, length
from thalweg.minimize.line import is_better
from thalweg.minimize.objective import Objective
from thalweg.minimize.place import Standing
from thalweg.minimize.searches.trust_region import TrustRegion, is_accepted, reduction_ratio
from thalweg.operators import Operator

# Trials from one place; the last of so many is shorter by 36 orders of magnitude.
MOST_TRIALS = 60


@final
class TrustSteps:
    """Trial steps from a place until one is taken.

    Args:
        objective: the loss.
        model: B.
        region: its radius and how the model is minimized within.
    """

    def __init__(self, objective: Objective, model: Model, region: TrustRegion) -> None:
        self._objective, self._model, self._region = objective, model, region
        self._fresh = model.state_dict()
        self._matrix: Operator | None = None
        self._trial: TrialStep | None = None

    def trial(self, at: Standing) -> TrialStep:
        """The step to try next from `at`; asked once for each radius and model.

        Raises:
            FloatingPointError: the gradient's length or the model is not finite.
        """
        if not math.isfinite(length(at.gradient)):
            raise FloatingPointError("the gradient's length is not finite")
        if self._trial is None:
            if self._matrix is None:
                self._matrix = self._model.at(at)
            otherwise = first_step(at.x, at.gradient) * length(at.gradient) or 1.0
            self._trial = self._region.trial(self._matrix, at.gradient, otherwise)
        return self._trial

    def promised(self, at: Standing) -> float:
        """The decrease that the model promises along the trial step, and beyond where it is short.

        A small radius is no reason to expect little. Infinite where the model is not finite.
        """
        try:
            trial = self.trial(at)
        except FloatingPointError:
            return math.inf
        slope = dot(at.gradient, trial.vector)
        curvature = -2 * (trial.decrease + slope)
        further = slope**2 / (2 * curvature) if curvature > 0 else 0.0
        return max(trial.decrease, further)

    def taken(self, at: Standing, left: int) -> tuple[Standing | None, SearchStatus]:
        """Where the first trial step leads that may be taken; None and why if there is none.

        Args:
            at: the place to go from.
            left: evaluations of the loss that are allowed.
        """
        seen: list[Standing] = []
        try:
            for trial, there in self._trials(at, min(left, MOST_TRIALS)):
                if self._takes(at, there, trial):
                    return there, "satisfied"
                seen.append(there)
        except FloatingPointError:
            return None, "not finite"
        return None, "budget" if len(seen) == left else hopeless(seen)

    def _trials(self, at: Standing, most: int) -> Iterator[tuple[TrialStep, Standing]]:
        """Trial steps and where they lead, for as long as a smaller radius may help."""
        noise = rounding(at) * abs(at.value)
        for _ in range(most):
            trial = self.trial(at)
            x = at.x + trial.vector
            if not trial.decrease > 0 or torch.equal(x, at.x):
                return
            yield trial, Standing(self._objective, x, *self._objective.evaluate(x))
            if trial.decrease <= noise:
                return

    def _takes(self, at: Standing, there: Standing, trial: TrialStep) -> bool:
        """Whether the step is taken; the radius and the model follow from it either way."""
        ratio = reduction_ratio(at.value, there.value, trial.decrease, rounding(at))
        takes = is_accepted(ratio) and is_better(there, at, rounding(at))
        self._region.judged(ratio if takes or not is_accepted(ratio) else -math.inf, trial)
        if there.finite:
            self._learn(at, there)
        self._trial = None
        self._objective.counts.rejected_steps += not takes
        return takes

    def _learn(self, at: Standing, there: Standing) -> None:
        rejected = rejected_by(self._model)
        if self._model.tried(at, there):
            self._matrix = None
        self._objective.counts.rejected_pairs += rejected_by(self._model) - rejected

    def arrived(self) -> None:
        """The trial step was of another place."""
        self._trial = self._matrix = None

    def forget(self) -> None:
        """Let the model and the radius begin anew."""
        self._model.load_state_dict(self._fresh)
        self._region.forget()
        self.arrived()

    def state_dict(self) -> dict[str, Any]:
        """What the model learned; the region's radius is its own."""
        return self._model.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a copy that `state_dict` made."""
        self._model.load_state_dict(state)
        self.arrived()


def rounding(at: Standing) -> float:
    """The unit of rounding of the loss's precision."""
    return torch.finfo(at.x.dtype).eps


def hopeless(seen: Sequence[Standing]) -> SearchStatus:
    """Why no step was taken, from where the refused ones led."""
    if not seen:
        return "not descending"
    bottomless = any(there.value == -math.inf for there in seen)
    return "rounding" if any(there.finite for there in seen) and not bottomless else "not finite"
