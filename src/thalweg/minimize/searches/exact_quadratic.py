"""The minimum along the line, computed from the curvature.

    alpha* = -g'd / d'H d

minimizes f(x + alpha d) where f is quadratic along d. There the curvature d'H d is the same
everywhere and is known from the slopes at any two points, (phi'(b) - phi'(a)) / (b - a), for one
gradient: what a product with H would cost at least. The slope at alpha* is then zero, which is
checked. Where it is not, the loss is not quadratic, and the formula is applied again to the last
two points: the secant method.
"""

import math
from dataclasses import dataclass
from typing import final

from thalweg.minimize.contract import Found, Line
from thalweg.minimize.searches.trials import Point, Trials, check_limits, checked_first

# How far to look on where the line is not convex, and how near where the loss is not finite.
FARTHER, NEARER = 4.0, 0.1
# A slope is a sum over n parameters of products that are themselves rounded.
ROUNDING_UNITS = 64


@final
@dataclass(frozen=True)
class ExactQuadratic:
    """The step to the minimum of a quadratic.

    Attributes:
        tol: a slope this small, relative to that at zero, counts as zero; more where the loss's
            precision asks for it.
        max_evaluations: of the line; two are enough on a quadratic, one if `first` is exact.
        max_step: the longest alpha.

    Raises:
        ValueError: `tol` not between 0 and 1, or a limit that allows nothing.
    """

    tol: float = 1e-8
    max_evaluations: int = 10
    max_step: float = math.inf

    def __post_init__(self) -> None:
        if not 0 < self.tol < 1:
            raise ValueError(f"ExactQuadratic(tol={self.tol}): give a number between 0 and 1.")
        check_limits("ExactQuadratic", self.max_evaluations, self.max_step)

    def along(self, line: Line, at_zero: tuple[float, float], first: float) -> Found:
        """The step to take; see `LineSearch`.

        "budget" where the slope did not become zero: the loss is not quadratic along the line, or
        without a minimum within `max_step`. The step is the one with the least loss then.
        """
        trials = Trials(line, at_zero, self.max_evaluations)
        alpha = checked_first("ExactQuadratic", first, self.max_step)
        if trials.hopeless:
            return trials.given_up(trials.hopeless)
        small = max(self.tol, ROUNDING_UNITS * line.eps) * -trials.start.slope
        last = trials.start
        while not trials.spent and alpha != last.alpha:
            trial = trials(alpha)
            if not trial.finite:
                alpha = last.alpha + NEARER * (alpha - last.alpha)
                continue
            if abs(trial.slope) <= small:
                return trials.found(trial, "satisfied")
            alpha, last = min(next_step(last, trial), self.max_step), trial
        return trials.given_up()


def next_step(last: Point, trial: Point) -> float:
    """Where the slope is zero by the curvature between two points; farther where that is none."""
    curvature = (trial.slope - last.slope) / (trial.alpha - last.alpha)
    if not 0 < curvature < math.inf:
        return FARTHER * max(trial.alpha, last.alpha)
    alpha = last.alpha + exact_step(last.slope, curvature)
    return alpha if alpha > 0 else NEARER * min(trial.alpha, last.alpha or trial.alpha)


def exact_step(slope: float, curvature: float) -> float:
    """alpha* = -g'd / d'H d, for a curvature above zero."""
    return -slope / curvature
