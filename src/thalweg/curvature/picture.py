"""A histogram of eigenvalues as text: log-scaled bars over the eigenvalues, outliers marked.

    1,000 |                  █
      100 |                 ▂█▃
       10 |                ▁███▅
        1 | ▄    ▄         █████▆▄▂    ▄          ▄                         ▄
          +--------------------+-----------------------------------------------
            ^    ^                                ^                         ^
         -0.31                 0                                           2.4

Plain numbers in, lines out; 80 columns for 60 bins.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

BLOCKS = " ▁▂▃▄▅▆▇█"
ASCII_BLOCKS = " ....:::#"
ROWS = 7
LABEL = 9  # columns before the axis
EMPTY = 0.5  # where the scale begins: fewer eigenvalues than this are none


def picture(
    edges: Sequence[float],
    counts: Sequence[float],
    outliers: Sequence[float] = (),
    *,
    ascii_only: bool = False,
) -> str:
    """The bars, the axis, the marks and the axis' ends, as lines without blanks at their ends.

    Args:
        edges: of the bins, ascending and of equal width, one more than `counts`.
        counts: of eigenvalues in each bin.
        outliers: values to be marked.
        ascii_only: draw with signs that every terminal has.
    """
    blocks = ASCII_BLOCKS if ascii_only else BLOCKS
    top = max(1.0, *counts)
    heights = [height(count, top) for count in counts]
    rows = [
        f"{label(row, top):>{LABEL}} |" + "".join(block(blocks, h, row) for h in heights)
        for row in reversed(range(ROWS))
    ]
    lines = [*rows, axis(edges), marks(edges, outliers), ends(edges)]
    return "\n".join(line.rstrip() for line in lines if line.strip())


def height(count: float, top: float) -> int:
    """Of a bar, in eighths of a row, on a logarithmic scale from EMPTY to `top`."""
    if count < EMPTY:
        return 0
    share = math.log(count / EMPTY) / math.log(top / EMPTY)
    return max(1, round(8 * ROWS * share))


def block(blocks: str, eighths: int, row: int) -> str:
    """The part of a bar that stands in a row, counted from the bottom."""
    return blocks[min(8, max(0, eighths - 8 * row))]


def label(row: int, top: float) -> str:
    """The power of ten that lies in a row, if one does; of several, the largest."""
    low, high = (math.log10(EMPTY) + math.log10(top / EMPTY) * r / ROWS for r in (row, row + 1))
    power = math.floor(high) if row == ROWS - 1 else math.ceil(high) - 1
    return f"{10**power:,}" if power >= max(0.0, low) else ""


def axis(edges: Sequence[float]) -> str:
    """The line below the bars, with a cross where zero is."""
    line = ["-"] * (len(edges) - 1)
    if edges[0] < 0 < edges[-1]:
        line[column(edges, 0.0)] = "+"
    return " " * LABEL + " +" + "".join(line)


def marks(edges: Sequence[float], outliers: Sequence[float]) -> str:
    """A sign below the bar of each outlier."""
    line = [" "] * (len(edges) - 1)
    for value in outliers:
        line[column(edges, value)] = "^"
    return " " * (LABEL + 2) + "".join(line)


def ends(edges: Sequence[float]) -> str:
    """The axis' ends, and zero where there is room for it."""
    width = len(edges) - 1
    low, high = f"{edges[0]:.3g}", f"{edges[-1]:.3g}"
    line = list(low + " " * (width - len(low) - len(high)) + high)
    if edges[0] < 0 < edges[-1]:
        at = column(edges, 0.0)
        if len(low) < at < width - len(high) - 1:
            line[at] = "0"
    return " " * (LABEL + 2) + "".join(line)


def column(edges: Sequence[float], value: float) -> int:
    """The bin of a value."""
    bins = len(edges) - 1
    share = (value - edges[0]) / (edges[-1] - edges[0])
    return min(bins - 1, max(0, int(bins * share)))
