"""Armijo's condition by interpolation: the search of damped Newton methods.

A refused trial and the start give a cubic with both values and slopes; its minimizer is the next
trial, kept between a tenth and a half of the last (J. Dennis & R. Schnabel, *Numerical Methods for
Unconstrained Optimization* (1983), section 6.3.2). Steps only get shorter than the first, so it
suits directions whose length means something: Newton's and its kin.
"""

import math
from dataclasses import dataclass
from typing import final

from thalweg.minimize.contract import Found, Line
from thalweg.minimize.searches.armijo import backtracked
from thalweg.minimize.searches.conditions import check_constants
from thalweg.minimize.searches.interpolation import cubic
from thalweg.minimize.searches.trials import Point, Trials, check_limits, checked_first

# Of the last trial, the next one is at least and at most this share.
LEAST, MOST = 0.1, 0.5
# ... and this where the loss was not finite, and there is nothing to interpolate.
BLIND = 0.2


@final
@dataclass(frozen=True)
class Backtracking:
    """Shorter steps until the loss falls by a share of what the slope promises.

    Attributes:
        decrease: that share, c1; 0 < c1 < 1/2.
        max_evaluations: of the line.
        max_step: the longest alpha.

    Raises:
        ValueError: a constant out of its domain.

    L. Armijo, *Pacific J. Math.* 16 (1966).
    """

    decrease: float = 1e-4
    max_evaluations: int = 40
    max_step: float = math.inf

    def __post_init__(self) -> None:
        check_constants("Backtracking", self.decrease)
        check_limits("Backtracking", self.max_evaluations, self.max_step)

    def along(self, line: Line, at_zero: tuple[float, float], first: float) -> Found:
        """The step to take; see `LineSearch`."""
        trials = Trials(line, at_zero, self.max_evaluations)
        alpha = checked_first("Backtracking", first, self.max_step)
        return backtracked(trials, alpha, self.decrease, interpolated)


def interpolated(start: Point, trial: Point) -> float:
    """The minimizer of the cubic through both, between a tenth and a half of the trial."""
    if not trial.finite:
        return BLIND * trial.alpha
    guess = cubic(start, trial)
    if guess is None:
        return MOST * trial.alpha
    return min(max(guess, LEAST * trial.alpha), MOST * trial.alpha)
