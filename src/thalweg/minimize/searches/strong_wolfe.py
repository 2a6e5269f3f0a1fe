"""A step that satisfies the strong Wolfe conditions, by More and Thuente's search.

    phi(alpha) <= phi(0) + c1 alpha phi'(0)   and   |phi'(alpha)| <= c2 |phi'(0)|

Such steps give quasi-Newton methods pairs of positive curvature, and a small c2 the nearly exact
steps that conjugate gradients need. The steps are those of `more_thuente`; around them:

* A trial whose loss or slope is not finite is never taken: the next one lies nearer.
* Where the first condition fails by no more than phi's rounding, the slopes decide as in the
  approximate Wolfe conditions, and the status is "rounding".
* All comparisons are relative: multiplying the loss by a constant changes no step.

Each trial is one evaluation of loss and gradient.
"""

import math
from dataclasses import dataclass
from typing import final

from thalweg.minimize.contract import Found, Line, SearchStatus
from thalweg.minimize.searches.conditions import (
    armijo,
    check_constants,
    flat_enough,
    slope_fell,
    strong_wolfe,
)
from thalweg.minimize.searches.more_thuente import Interval
from thalweg.minimize.searches.trials import Point, Trials, check_limits, checked_first


@final
@dataclass(frozen=True)
class StrongWolfe:
    """More and Thuente's search for a step that satisfies the strong Wolfe conditions.

    Attributes:
        decrease: c1, of the decrease that the slope at zero promises; 0 < c1 < 1/2.
        curvature: c2, how much of that slope may be left; c1 <= c2 < 1. 0.9 suits quasi-Newton and
            Newton directions, 0.1 conjugate gradients.
        max_evaluations: of the line.
        max_step: the longest alpha. There sufficient decrease is enough.
        interval_tol: a bracket narrower than this share of alpha is not searched further.

    Raises:
        ValueError: a constant out of its domain.

    J. More & D. Thuente, *ACM Trans. Math. Softw.* 20 (1994).
    """

    decrease: float = 1e-4
    curvature: float = 0.9
    max_evaluations: int = 40
    max_step: float = math.inf
    interval_tol: float = 1e-14

    def __post_init__(self) -> None:
        check_constants("StrongWolfe", self.decrease, self.curvature)
        check_limits("StrongWolfe", self.max_evaluations, self.max_step)

    def along(self, line: Line, at_zero: tuple[float, float], first: float) -> Found:
        """The step to take; see `LineSearch`."""
        trials = Trials(line, at_zero, self.max_evaluations)
        alpha = checked_first("StrongWolfe", first, self.max_step)
        if trials.hopeless:
            return trials.given_up(trials.hopeless)
        interval = Interval.start(trials.start, alpha, self.max_step)
        while not trials.spent:
            trial = trials(alpha)
            if status := self._accepts(trials, trial):
                return trials.found(trial, status)
            if not trial.finite:
                interval, alpha = interval.walled(alpha)
                continue
            tilt = self._tilt(interval, trial, trials.start)
            interval, alpha = interval.after(trial, tilt, self.max_step)
            if interval.exhausted(alpha, self.interval_tol):
                return trials.given_up("rounding")
        return trials.given_up()

    def _accepts(self, trials: Trials, trial: Point) -> SearchStatus | None:
        if not trial.finite:
            return None
        start, c1, c2 = trials.start, self.decrease, self.curvature
        if strong_wolfe(trial, start, c1, c2) or self._stopped_short(trial, start):
            return "satisfied"
        perhaps = armijo(trial, start, c1, trials.noise(trial)) and flat_enough(trial, start, c2)
        return "rounding" if perhaps and slope_fell(trial, start, c1) else None

    def _stopped_short(self, trial: Point, start: Point) -> bool:
        """Whether the line still falls at the longest step, as fast as Armijo asks."""
        falls = trial.slope <= self.decrease * start.slope
        return trial.alpha >= self.max_step and armijo(trial, start, self.decrease) and falls

    def _tilt(self, interval: Interval, trial: Point, start: Point) -> float:
        """c1 phi'(0) where the trial is lower than `low` but not low enough, else 0."""
        lower = trial.value <= interval.low.value
        enough = armijo(trial, start, self.decrease)
        return self.decrease * start.slope if lower and not enough else 0.0
