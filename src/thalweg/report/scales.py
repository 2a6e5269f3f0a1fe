"""The scale of a chart's values: linear or logarithmic, from where to where, with which ticks."""

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

from thalweg.report.curves import Curve, finite, spans_decades

# A diverging curve may leave the picture above, so that the other one is still seen.
HEADROOM: Final = 1e3
MOST_TICKS: Final = 6


class Scale(NamedTuple):
    """Where values are drawn; `cut` says that some lie above `high`."""

    logarithmic: bool
    low: float
    high: float
    cut: bool


def scale_of(curves: Mapping[str, Curve], leading: str) -> Scale:
    """One scale for all curves; logarithmic when their values span decades.

    Args:
        curves: Curves by name.
        leading: The name of the curve that must stay readable: of the others, values above
            `HEADROOM` times its greatest are cut off.
    """
    everything = [value for curve in curves.values() for value in finite(curve.values)]
    if not everything:
        return Scale(False, 0.0, 1.0, False)
    low, high = min(everything), max(everything)
    if not spans_decades(everything):
        margin = 0.04 * (high - low) or 0.1 * abs(high) or 1.0
        floor = 0.0 if low >= 0 else -math.inf
        return Scale(False, max(low - margin, floor), high + margin, False)
    leader = max(finite(curves[leading].values) if leading in curves else [], default=high)
    ceiling = min(high, HEADROOM * leader)
    return Scale(True, low / 1.2, ceiling * 1.2, ceiling < high)


def ticks(scale: Scale) -> list[float]:
    """Ticks of a logarithmic scale: powers of ten, and 2 and 5 times them when there are few."""
    first, last = math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high))
    stride = math.ceil((last - first + 1) / MOST_TICKS)
    digits = (1, 2, 5) if last - first <= 2 else (1,)
    candidates = (
        digit * 10.0**power for power in range(first, last + 1, stride) for digit in digits
    )
    return [tick for tick in candidates if scale.low <= tick <= scale.high]
