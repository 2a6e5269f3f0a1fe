"""A histogram of eigenvalues as an SVG file: log-scaled bars, outliers as lines of their own.

The text of the file is made here, without a drawing library; it follows the viewer's light or dark
theme.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape

from thalweg.curvature.histogram import EMPTY, Histogram

WIDTH, HEIGHT = 760, 320
LEFT, RIGHT, TOP, BOTTOM = 64, 20, 44, 48
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #56616b }
.title { font-size: 15px; font-weight: 600; fill: #17212b }
.bar { fill: #00609f } .outlier { stroke: #b84a00; stroke-width: 2 }
.grid { stroke: #d8d8d2 } .zero { stroke: #56616b; stroke-dasharray: 4 3 }
@media (prefers-color-scheme: dark) {
text { fill: #a4afb9 } .title { fill: #e8ecef }
.bar { fill: #62b8f5 } .outlier { stroke: #ff9a57 } .grid { stroke: #34404a }
}
"""


def svg(found: Histogram, title: str) -> str:
    """The picture as the text of an SVG file."""
    body = "\n".join([*grid(found), *bars(found), *outliers(found), *numbers(found)])
    heading = f'<text class="title" x="{LEFT}" y="24">{escape(title)}</text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">\n<style>{STYLE}</style>\n{heading}\n{body}\n</svg>\n'
    )


def across(found: Histogram, value: float) -> float:
    """Where an eigenvalue lies on the page."""
    low, high = found.edges[0], found.edges[-1]
    return LEFT + (WIDTH - LEFT - RIGHT) * (value - low) / (high - low)


def upward(found: Histogram, count: float) -> float:
    """How high a count reaches on the page, on a logarithmic scale."""
    top = max(1.0, *found.counts)
    share = math.log(max(count, EMPTY) / EMPTY) / math.log(top / EMPTY)
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share


def bars(found: Histogram) -> Iterator[str]:
    """A bar for each bin that holds something."""
    for left, right, count in zip(found.edges, found.edges[1:], found.counts, strict=False):
        if count >= EMPTY:
            x, y = across(found, left), upward(found, count)
            width = across(found, right) - x - 0.5
            yield (
                f'<rect class="bar" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
                f'height="{HEIGHT - BOTTOM - y:.1f}"><title>{left:.4g} to {right:.4g}: '
                f"{count:.3g}</title></rect>"
            )


def outliers(found: Histogram) -> Iterator[str]:
    """A line below the axis for each outlier."""
    for value, error in found.outliers:
        x, y = across(found, value), HEIGHT - BOTTOM
        yield (
            f'<line class="outlier" x1="{x:.1f}" x2="{x:.1f}" y1="{y + 1}" y2="{y + 12}">'
            f"<title>{value:.6g} ± {error:.1g}</title></line>"
        )


def grid(found: Histogram) -> Iterator[str]:
    """A line at each power of ten, with its number, and one at zero."""
    for power in range(math.floor(math.log10(max(1.0, *found.counts))) + 1):
        y = upward(found, 10.0**power)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{10**power:,}</text>'
    if found.edges[0] < 0 < found.edges[-1]:
        x = across(found, 0.0)
        yield f'<line class="zero" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'


def numbers(found: Histogram) -> Iterator[str]:
    """The ends of the axis, and what it is."""
    y = HEIGHT - BOTTOM + 28
    yield f'<text x="{LEFT}" y="{y}">{found.edges[0]:.4g}</text>'
    yield f'<text x="{WIDTH - RIGHT}" y="{y}" text-anchor="end">{found.edges[-1]:.4g}</text>'
    middle = (WIDTH + LEFT - RIGHT) / 2
    yield f'<text x="{middle}" y="{y + 12}" text-anchor="middle">eigenvalue</text>'
