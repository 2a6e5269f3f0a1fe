"""Points of a line that a search has tried: counted, the best one kept.

A trial counts as finite where its value and its slope both are: a search compares the one and
interpolates with the other, so a point that lacks either cannot be reasoned with.
"""

import math
from dataclasses import dataclass
from typing import final

from thalweg.minimize.contract import Found, Line, SearchStatus


@final
@dataclass(frozen=True)
class Point:
    """alpha, phi(alpha) and phi'(alpha)."""

    alpha: float
    value: float
    slope: float

    @property
    def finite(self) -> bool:
        """Whether value and slope are numbers."""
        return math.isfinite(self.value) and math.isfinite(self.slope)

    def tilted(self, slope: float) -> "Point":
        """The same point of phi(alpha) - slope alpha."""
        return Point(self.alpha, self.value - slope * self.alpha, self.slope - slope)


@final
class Trials:
    """The evaluations of one line search.

    Attributes:
        start: the point at zero.
        best: the point with the least value so far, the start included.
        taken: evaluations so far.
        finite: whether one of them was finite.
    """

    def __init__(self, line: Line, at_zero: tuple[float, float], limit: int) -> None:
        self.start = self.best = Point(0.0, *at_zero)
        self.taken = 0
        self.finite = False
        self._line = line
        self._limit = limit

    def __call__(self, alpha: float) -> Point:
        """Evaluate at `alpha`."""
        point = Point(alpha, *self._line(alpha))
        self.taken += 1
        self.finite |= point.finite
        if point.finite and point.value < self.best.value:
            self.best = point
        return point

    @property
    def spent(self) -> bool:
        """Whether no evaluation is left."""
        return self.taken >= self._limit

    @property
    def hopeless(self) -> SearchStatus | None:
        """Why there is nothing to search for, judged by the start; None if there is."""
        if not self.start.finite:
            return "not finite"
        return None if self.start.slope < 0 else "not descending"

    def noise(self, point: Point) -> float:
        """Within which rounding leaves the difference between the point's value and the start's."""
        return ROUNDING_UNITS * self._line.eps * max(abs(self.start.value), abs(point.value))

    def found(self, point: Point, status: SearchStatus) -> Found:
        """The end, at `point`."""
        return Found(point.alpha, point.value, point.slope, self.taken, status)

    def given_up(self, status: SearchStatus = "budget") -> Found:
        """The end at the best point; "not finite" where there was nothing but the start."""
        barred = self.taken > 0 and not self.finite
        return self.found(self.best, "not finite" if barred else status)


# What a sum in tree order loses, with some room: a loss is a mean over many samples.
ROUNDING_UNITS = 16


def checked_first(search: str, first: float, longest: float = math.inf) -> float:
    """The first step, no longer than `longest`.

    Raises:
        ValueError: it is not a positive number.
    """
    if not 0 < first < math.inf:
        raise ValueError(
            f"{search}.along(line, at_zero, first={first}): a first step is a positive number; "
            "turn the direction round to go the other way."
        )
    return min(first, longest)


def check_limits(call: str, max_evaluations: int, max_step: float = math.inf) -> None:
    """Raise ValueError unless a search may take an evaluation and a step."""
    if max_evaluations < 1:
        raise ValueError(f"{call}(max_evaluations={max_evaluations}): it takes at least one.")
    if not max_step > 0:
        raise ValueError(
            f"{call}(max_step={max_step}): give the longest alpha allowed, above zero, or math.inf."
        )
