"""Shorter and shorter steps until the loss falls by a share of what the slope promises.

    phi(alpha) <= phi(0) + c1 alpha phi'(0)

What two searches have in common: `Backtracking` interpolates, `StochasticArmijo` shrinks by a fixed
factor. Where the condition fails by no more than phi's rounding, the slope at the trial decides, as
in the approximate Wolfe conditions: (2 c1 - 1) phi'(0) >= phi'(alpha), which says the same of a
quadratic.
"""

from collections.abc import Callable

from thalweg.minimize.contract import Found, SearchStatus
from thalweg.minimize.searches.conditions import armijo, slope_fell
from thalweg.minimize.searches.trials import Point, Trials

# From the start and a trial that was refused to the next one, nearer.
Shorter = Callable[[Point, Point], float]


def backtracked(trials: Trials, alpha: float, c1: float, shorter: Shorter) -> Found:
    """The first of the trials from `alpha` on at which the loss fell enough."""
    if trials.hopeless:
        return trials.given_up(trials.hopeless)
    while not trials.spent:
        trial = trials(alpha)
        if status := accepted(trials, trial, c1):
            return trials.found(trial, status)
        if drowned(trials, trial):
            return trials.given_up("rounding")
        alpha = shorter(trials.start, trial)
    return trials.given_up()


def accepted(trials: Trials, trial: Point, c1: float) -> SearchStatus | None:
    """How the trial may be taken, if it may."""
    if not trial.finite:
        return None
    start = trials.start
    if armijo(trial, start, c1):
        return "satisfied"
    perhaps = armijo(trial, start, c1, trials.noise(trial))
    return "rounding" if perhaps and slope_fell(trial, start, c1) else None


def drowned(trials: Trials, trial: Point) -> bool:
    """Whether all that the slope promises of a finite trial is less than phi(0)'s rounding."""
    promised = -trial.alpha * trials.start.slope
    return trial.finite and promised < trials.noise(trials.start)
