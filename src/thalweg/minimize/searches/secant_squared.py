r"""Hager and Zhang's trials: an interval whose ends have slopes of opposite sign, shrinking.

An interval [a, b] keeps  phi(a) <= phi(0) + eps,  phi'(a) < 0,  phi'(b) >= 0:  a minimum lies
inside, whatever rounding does to values that are alike. A trial c replaces

    b   where phi'(c) >= 0,
    a   where phi'(c) < 0 and phi(c) <= phi(0) + eps,
    neither, where c lies behind a hill (phi'(c) < 0, phi(c) > phi(0) + eps): the way back to a is
        cut until a slope turns up that is not negative.

`bracket`, `update` and `secant2` are the procedures of section 4 of W. Hager & H. Zhang, *SIAM J.
Optim.* 16 (2005); a loss that is not finite counts as a hill. Where values differ by more than eps
they are used too, by cubics: instead of secants, instead of halving on the way back from a hill,
and instead of a fixed factor on the way out. On the cases of More and Thuente that takes a fifth
fewer trials.

The procedures are generators: they yield alphas to evaluate and are sent the points.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import final

from thalweg.minimize.searches.interpolation import cubic, secant
from thalweg.minimize.searches.trials import Point

Interval = tuple[Point, Point]
Asking = Generator[float, Point, Interval]

# How far out the next trial may lie, as multiples of the last.
LEAST_EXPANSION, MOST_EXPANSION = 2.0, 10.0
# An interval that secants leave wider than this share of the last is halved.
SHRINKING = 0.66
# On the way back from a hill, trials keep this share of the interval away from its ends.
MARGIN = 0.1


@final
@dataclass(frozen=True)
class Ground:
    """What counts as low.

    Attributes:
        start: the point at zero.
        rise: eps, within which values tell nothing.
    """

    start: Point
    rise: float

    @property
    def ceiling(self) -> float:
        """phi(0) + eps, the value up to which a point counts as low."""
        return self.start.value + self.rise

    def is_hill(self, point: Point) -> bool:
        """Whether a point lies too high and falls away from zero, or has no finite loss."""
        return not point.finite or (point.slope < 0 and point.value > self.ceiling)


def trials(ground: Ground, first: float, longest: float) -> Asking:
    """Trials from `first` on, none beyond `longest`, until the interval can shrink no further."""
    a, b = yield from bracket(ground, first, longest)
    while True:
        low, high = yield from secant2(ground, a, b)
        if high.alpha - low.alpha > SHRINKING * (b.alpha - a.alpha):
            middle = (low.alpha + high.alpha) / 2
            low, high = yield from update(ground, low, high, middle)
        if (low, high) == (a, b):
            return a, b
        a, b = low, high


def bracket(ground: Ground, first: float, longest: float) -> Asking:
    """A first interval, by ever longer steps."""
    low, alpha = ground.start, first
    while True:
        point = yield alpha
        if ground.is_hill(point):
            return (yield from back_from(ground, low, point))
        if point.slope >= 0:
            return low, point
        alpha = min(farther(low, point), longest)
        low = point


def farther(low: Point, point: Point) -> float:
    """The next step out: where the cubic has its minimum, within limits."""
    least, most = LEAST_EXPANSION * point.alpha, MOST_EXPANSION * point.alpha
    guess = cubic(point, low)
    if guess is None or guess <= point.alpha:
        return most
    return min(max(guess, least), most)


def update(ground: Ground, a: Point, b: Point, alpha: float | None) -> Asking:
    """[a, b] after a trial at `alpha`; as it is where that is not inside."""
    if alpha is None or not a.alpha < alpha < b.alpha:
        return a, b
    point = yield alpha
    if ground.is_hill(point):
        return (yield from back_from(ground, a, point))
    return (a, point) if point.slope >= 0 else (point, b)


def back_from(ground: Ground, a: Point, hill: Point) -> Asking:
    """An interval between a low point and a hill behind it."""
    while a.alpha < (alpha := between(a, hill)) < hill.alpha:
        point = yield alpha
        if ground.is_hill(point):
            hill = point
        elif point.slope >= 0:
            return a, point
        else:
            a = point
    return a, hill


def between(a: Point, hill: Point) -> float:
    """The next trial on the way back from a hill."""
    width = hill.alpha - a.alpha
    if not hill.finite:
        return a.alpha + (0.5 if a.alpha else 0.1) * width
    guess = cubic(a, hill)
    if guess is None:
        return a.alpha + 0.5 * width
    return min(max(guess, a.alpha + MARGIN * width), hill.alpha - MARGIN * width)


def secant2(ground: Ground, a: Point, b: Point) -> Asking:
    """The interval after one zero of the slope, and after another from the end it replaced."""
    c = zero(ground, a, b)
    low, high = yield from update(ground, a, b, c)
    if c == high.alpha:
        return (yield from update(ground, low, high, zero(ground, b, high)))
    if c == low.alpha:
        return (yield from update(ground, low, high, zero(ground, a, low)))
    return low, high


def zero(ground: Ground, a: Point, b: Point) -> float | None:
    """Where the slope is zero: of the cubic, if the values tell and it lies inside; by the secant.

    Two points on the same side of a minimum say with the secant where it is beyond them.
    """
    guess = cubic(a, b) if abs(a.value - b.value) > ground.rise else None
    inside = guess is not None and min(a.alpha, b.alpha) < guess < max(a.alpha, b.alpha)
    return guess if inside else secant(a, b)
