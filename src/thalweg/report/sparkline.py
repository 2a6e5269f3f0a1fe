"""A curve as one line of text, for terminals: `█▆▅▃▂▁▁▁`."""

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Final

from thalweg.report.curves import Curve, finite, spans_decades

BLOCKS: Final = "▁▂▃▄▅▆▇█"
ASCII_BLOCKS: Final = "_.-~=+*#"
BROKEN: Final = "×"
ASCII_BROKEN: Final = "x"


def sparklines(curves: Sequence[Curve], width: int, *, ascii_only: bool = False) -> list[str]:
    """Each curve as up to `width` characters, all on one scale so that they can be compared.

    The scale is logarithmic when the values span decades. A place where no value was finite is a
    cross. Steps share one axis too: a curve that ends early is shorter.
    """
    columns = [medians(curve, width, last_step(curves)) for curve in curves]
    everything = [value for column in columns for value in column]
    level = leveller(everything)
    blocks = ASCII_BLOCKS if ascii_only else BLOCKS
    broken = ASCII_BROKEN if ascii_only else BROKEN
    return [
        "".join(broken if value is None else blocks[level(value)] for value in column)
        for column in columns
    ]


def last_step(curves: Sequence[Curve]) -> float:
    """The greatest step of any curve."""
    return max((curve.steps[-1] for curve in curves if curve.steps), default=0)


def medians(curve: Curve, width: int, end: float) -> list[float | None]:
    """The median of the values in each of `width` runs of steps from the curve's first to `end`."""
    if not curve.steps:
        return []
    start = curve.steps[0]
    columns = min(width, len(curve.values)) if end == curve.steps[-1] else width
    bins: dict[int, list[float | None]] = {}
    for step, value in zip(curve.steps, curve.values, strict=False):
        place = int(columns * (step - start) / (end - start)) if end > start else 0
        bins.setdefault(min(place, columns - 1), []).append(value)
    return [middle(values) for _, values in sorted(bins.items())]


def middle(values: Sequence[float | None]) -> float | None:
    """The median of the finite values; None when most are not finite."""
    present = finite(values)
    return statistics.median(present) if 2 * len(present) >= len(values) and present else None


def leveller(values: Sequence[float | None]) -> Callable[[float], int]:
    """The function from a value to its height, 0 to 7, on a scale that all `values` share."""
    present = finite(values)
    scale: Callable[[float], float] = math.log10 if spans_decades(present) else float
    low, high = (scale(min(present)), scale(max(present))) if present else (0.0, 0.0)
    top = len(BLOCKS) - 1
    if not high > low:
        return lambda _: 0
    return lambda value: round(top * (scale(value) - low) / (high - low))
