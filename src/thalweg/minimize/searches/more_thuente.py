r"""The interval of a More-Thuente search: how it shrinks, and where to try next.

An interval of uncertainty has an end `low` with the least value so far and an end `high` so that
the line falls from `low` towards `high`. A trial t inside replaces one of them, and there are four
cases for the next trial (l is `low`, c the cubic's minimizer, q the parabola's, s the secant's):

    1  f_t > f_l                          the one of c, (c + q)/2 that is nearer to l
    2  f_t <= f_l, slopes of other sign   the one of c, s that is farther from t
    3  same sign, the slope falls         c, if it lies beyond t, or s
    4  same sign, the slope grows         c between t and `high`, or as far as allowed

A trial that is lower than `low` but not low enough is compared with it by psi(alpha) = phi(alpha) -
c1 alpha phi'(0). The paper does so in a first stage, until a step of sufficient decrease has a
slope that is not negative; after that no trial is of this kind, so no stage is kept here.

J. More & D. Thuente, *ACM Trans. Math. Softw.* 20 (1994), sections 2-4, with the limits on
extrapolation of MINPACK-2. In addition to theirs, a `wall` is kept: a point where the loss was not
finite. Trials go at most half of the way to it, and a tenth where nothing but the start is known.
"""

import math
from dataclasses import dataclass, replace
from typing import final

from thalweg.minimize.searches.interpolation import cubic, quadratic, secant
from thalweg.minimize.searches.trials import Point

# Between these multiples of the last step, counted from the trial, extrapolation stays.
NEAREST, FARTHEST = 1.1, 4.0
# An interval that does not shrink to this share in two trials is halved.
SHRINKING = 0.66


@final
@dataclass(frozen=True)
class Interval:
    """Where a step is sought, and within which limits the next trial is to lie.

    Attributes:
        low: the end with the least value.
        high: the other end; equal to `low` until `bracketed`.
        bracketed: whether a minimum lies between them.
        reach: the least and the largest alpha of the next trial.
        widths: the interval's width one and two trials ago.
        wall: the last alpha where the loss was not finite.
    """

    low: Point
    high: Point
    bracketed: bool
    reach: tuple[float, float]
    widths: tuple[float, float]
    wall: float = math.inf

    @staticmethod
    def start(zero: Point, first: float, longest: float) -> "Interval":
        """Nothing known but the start, with steps up to `longest` allowed."""
        reach = (0.0, first + FARTHEST * first)
        return Interval(zero, zero, False, reach, (longest, 2 * longest))

    def after(self, trial: Point, tilt: float, longest: float) -> tuple["Interval", float]:
        """The interval that a finite trial leaves, and the next trial.

        Args:
            trial: the point tried.
            tilt: compare values of phi(alpha) - tilt alpha.
            longest: the largest alpha allowed.
        """
        alpha = next_trial(self, trial, tilt)
        narrowed = self._narrowed(trial, tilt)
        if narrowed.bracketed:
            alpha, narrowed = narrowed._halved(alpha)
        narrowed = replace(narrowed, reach=narrowed._reach(alpha))
        return narrowed, narrowed.before_wall(min(alpha, longest))

    def walled(self, alpha: float) -> tuple["Interval", float]:
        """The interval that a trial without a finite loss leaves, and the next trial."""
        share = 0.5 if self.low.alpha else 0.1
        return replace(self, wall=alpha), self.low.alpha + share * (alpha - self.low.alpha)

    def exhausted(self, alpha: float, tolerance: float) -> bool:
        """Whether a bracket is too narrow for a trial `alpha` inside it."""
        least, largest = self.reach
        narrow = largest - least <= tolerance * largest
        return self.bracketed and (narrow or not least < alpha < largest)

    def before_wall(self, alpha: float) -> float:
        """`alpha`, or half of the way from `low` to a wall that stands before or behind it."""
        way = self.wall - self.low.alpha
        span = self.high.alpha - self.low.alpha
        passed = self.bracketed and abs(span) < abs(way)
        ahead = math.copysign(1, way) == math.copysign(1, alpha - self.low.alpha)
        if passed or not ahead or abs(alpha - self.low.alpha) <= abs(way) / 2:
            return alpha
        return self.low.alpha + way / 2

    def _narrowed(self, trial: Point, tilt: float) -> "Interval":
        low, new = self.low.tilted(tilt), trial.tilted(tilt)
        if new.value > low.value:
            return replace(self, high=trial, bracketed=True)
        if turned(low, new):
            return replace(self, low=trial, high=self.low, bracketed=True)
        return replace(self, low=trial)

    def _halved(self, alpha: float) -> tuple[float, "Interval"]:
        """The middle instead of `alpha`, if the interval did not shrink enough in two trials."""
        low, high = self.low.alpha, self.high.alpha
        width, before = self.widths
        if abs(high - low) >= SHRINKING * before:
            alpha = low + 0.5 * (high - low)
        return alpha, replace(self, widths=(abs(high - low), width))

    def _reach(self, alpha: float) -> tuple[float, float]:
        low, high = self.low.alpha, self.high.alpha
        if self.bracketed:
            return min(low, high), max(low, high)
        return alpha + NEAREST * (alpha - low), alpha + FARTHEST * (alpha - low)


def turned(low: Point, trial: Point) -> bool:
    """Whether the slopes have opposite signs; said without their product, which may underflow."""
    return trial.slope * math.copysign(1, low.slope) < 0


def next_trial(interval: Interval, trial: Point, tilt: float) -> float:
    """Where to try after `trial`, by the four cases."""
    low, high, trial = (p.tilted(tilt) for p in (interval.low, interval.high, trial))
    if trial.value > low.value:
        return higher(low, trial)
    if turned(low, trial):
        return lower_and_turned(low, trial)
    limit = interval.reach[1] if trial.alpha > low.alpha else interval.reach[0]
    if abs(trial.slope) < abs(low.slope):
        if interval.bracketed:
            return flatter_inside(low, high, trial, limit)
        return flatter_outside(low, trial, interval.reach, limit)
    return steeper(high, trial, interval.bracketed, limit)


def higher(low: Point, trial: Point) -> float:
    """Case 1: a minimum lies between, nearer to `low` the more the value rose."""
    c, q = cubic(low, trial), quadratic(low, trial)
    if c is None or q is None:
        return (low.alpha + trial.alpha) / 2
    return c if abs(c - low.alpha) < abs(q - low.alpha) else c + (q - c) / 2


def lower_and_turned(low: Point, trial: Point) -> float:
    """Case 2: a minimum lies between, and the step should not stay at the trial."""
    c, s = cubic(trial, low), secant(trial, low)
    if c is None or s is None:
        return (low.alpha + trial.alpha) / 2
    return c if abs(c - trial.alpha) > abs(s - trial.alpha) else s


def flatter_inside(low: Point, high: Point, trial: Point, limit: float) -> float:
    """Case 3 with a bracket: the nearer of the two, and not too near to `high`."""
    c, s = beyond(low, trial, limit), secant(trial, low)
    s = limit if s is None else s
    nearer = c if abs(c - trial.alpha) < abs(s - trial.alpha) else s
    farthest = trial.alpha + SHRINKING * (high.alpha - trial.alpha)
    return min(farthest, nearer) if trial.alpha > low.alpha else max(farthest, nearer)


def flatter_outside(low: Point, trial: Point, reach: tuple[float, float], limit: float) -> float:
    """Case 3 without a bracket: the farther of the two, within reach."""
    c, s = beyond(low, trial, limit), secant(trial, low)
    s = limit if s is None else s
    farther = c if abs(c - trial.alpha) > abs(s - trial.alpha) else s
    return min(max(farther, reach[0]), reach[1])


def steeper(high: Point, trial: Point, bracketed: bool, limit: float) -> float:
    """Case 4: the line falls ever faster; between trial and `high`, or as far as allowed."""
    if not bracketed:
        return limit
    c = cubic(trial, high)
    return (trial.alpha + high.alpha) / 2 if c is None else c


def beyond(low: Point, trial: Point, limit: float) -> float:
    """The cubic's minimizer, if it has one on the far side of the trial; else the limit."""
    c = cubic(trial, low)
    ahead = c is not None and (c - trial.alpha) * math.copysign(1, trial.alpha - low.alpha) > 0
    return c if c is not None and ahead else limit
