"""What a curve needs before it is drawn: thinning, smoothing, where it breaks, which scale.

A curve is a pair of lists, steps and values, with None where the value was not finite.
"""

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

POINTS: Final = 400
SMOOTH_FROM: Final = 60
# Some thirty times: on a linear scale, the lower half of the decades would look like zero.
DECADES: Final = 1.5


class Curve(NamedTuple):
    """Values over steps; None where the value was not finite."""

    steps: Sequence[float]
    values: Sequence[float | None]


def loss_of(trial: Mapping[str, Any]) -> Curve:
    """The training loss of a trial."""
    return Curve(trial["loss"]["steps"], trial["loss"]["values"])


def measure_of(trial: Mapping[str, Any]) -> Curve:
    """The measure of a trial; empty when it has none."""
    pairs = (trial["measure"] or {"values": []})["values"]
    kept = [(step, value) for step, value in pairs if step is not None]
    return Curve([step for step, _ in kept], [value for _, value in kept])


def finite(values: Iterable[float | None]) -> list[float]:
    """The values that are finite."""
    return [value for value in values if value is not None]


def first(curve: Curve) -> float | None:
    """The first value; None where it was not finite or there is none."""
    return curve.values[0] if curve.values else None


def last(curve: Curve) -> float | None:
    """The last value; None where it was not finite or there is none."""
    return curve.values[-1] if curve.values else None


def settled(curve: Curve) -> float | None:
    """Where the curve ends: the median of its last twentieth, which one noisy step cannot move."""
    tail = curve.values[-max(1, len(curve.values) // 20) :]
    return None if last(curve) is None else statistics.median(finite(tail))


def break_step(curve: Curve) -> float | None:
    """The first step at which the value was not finite; None when all are."""
    broken = (step for step, value in zip(curve.steps, curve.values, strict=False) if value is None)
    return next(broken, None)


def thinned(curve: Curve, points: int = POINTS) -> Curve:
    """At most about `points` points that keep every extreme, both ends and every break.

    The curve is cut into equal runs; of each, the least and the greatest value stay, and the first
    that was not finite.
    """
    pairs = list(zip(curve.steps, curve.values, strict=False))
    if len(pairs) <= points:
        return Curve([step for step, _ in pairs], [value for _, value in pairs])
    width = math.ceil(3 * len(pairs) / points)
    kept = {0, len(pairs) - 1}
    for start in range(0, len(pairs), width):
        kept.update(extremes(curve.values, start, min(start + width, len(pairs))))
    indices = sorted(kept)
    return Curve([pairs[i][0] for i in indices], [pairs[i][1] for i in indices])


def extremes(values: Sequence[float | None], start: int, stop: int) -> Iterator[int]:
    """Where, from `start` to `stop`, values are least and greatest, and the first None."""
    present = [(value, i) for i in range(start, stop) if (value := values[i]) is not None]
    if present:
        yield min(present)[1]
        yield max(present)[1]
    yield from [i for i in range(start, stop) if values[i] is None][:1]


def smoothed(curve: Curve) -> Curve:
    """The running median over a fortieth of the curve; short curves as they are.

    The median, because it looks the same on a linear and on a logarithmic scale and one spike does
    not move it.
    """
    count = len(curve.values)
    if count < SMOOTH_FROM:
        return curve
    reach = max(1, count // 80)
    stride = max(1, count // POINTS)
    centers = [*range(0, count - 1, stride), count - 1]
    middle = [local_median(curve.values, center, reach) for center in centers]
    return Curve([curve.steps[center] for center in centers], middle)


def local_median(values: Sequence[float | None], center: int, reach: int) -> float | None:
    """The median of the finite values near `center`; None where the value itself is not finite."""
    if values[center] is None:
        return None
    return statistics.median(finite(values[max(0, center - reach) : center + reach + 1]))


def spans_decades(values: Iterable[float | None]) -> bool:
    """Whether all values are positive and differ by decades: then the scale is logarithmic."""
    present = finite(values)
    if not present or min(present) <= 0:
        return False
    return math.log10(max(present)) - math.log10(min(present)) >= DECADES


def is_jagged(curve: Curve) -> bool:
    """Whether the curve turns back so often that its own line hides where it goes."""
    values = finite(curve.values)
    differences = [after - before for before, after in pairwise(values)]
    turns = sum(a * b < 0 for a, b in pairwise(differences))
    return len(values) >= SMOOTH_FROM and turns > len(differences) / 4
