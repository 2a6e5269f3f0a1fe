"""The picture of a rule: its path on three landscapes beside its relatives', as an SVG.

Contour lines come from contourpy, the chart from Altair, the drawing from vl-convert. Colours are
names of CSS variables that the drawing itself sets for light and dark, so one file fits both
themes; a path is told by its dash and its width too, not by its colour alone.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import altair as alt
import contourpy
import numpy as np
import torch
import vl_convert

from optimizer_pages.paths import Path, Terrain
from thalweg.landscapes import Landscape

Table = list[dict[str, Any]]

SIZE: Final = 250
GRID: Final = 71
LEVELS: Final = 14
# Wong's palette (2011), which the colour-blind tell apart; lighter where the page is dark.
LIGHT: Final = ("#d55e00", "#0072b2", "#009e73", "#aa4499")
DARK: Final = ("#ff9e4a", "#67bfff", "#5fd3ae", "#e39ad3")
DASHES: Final = ([1, 0], [5, 3], [2, 2], [8, 3, 2, 3])
THEME: Final = {"ink": ("#444", "#ccc"), "line": ("#c4c4c4", "#50545e"), "end": ("#fff", "#1e2129")}
FONT: Final = "system-ui, sans-serif"
CROSS: Final = "M-1,-1L1,1M-1,1L1,-1"
DECIMALS: Final = re.compile(r"(\d\.\d)\d+")  # a tenth of a pixel is enough


def drawing(paths: Mapping[str, Mapping[str, Path]], terrains: Mapping[str, Terrain]) -> str:
    """The SVG of some walkers' paths.

    Args:
        paths: By the name of the terrain, then by the label of the walker; the first walker is
            the one whose picture it is.
        terrains: By the same names; one panel for each.
    """
    labels = list(next(iter(paths.values())))
    panels = [panel(name, terrain, labels) for name, terrain in terrains.items()]
    chart = alt.hconcat(*panels, spacing=24).configure(
        background="transparent",
        font=FONT,
        mark=alt.MarkConfig(aria=False),
        view=alt.ViewConfig(stroke="var(--line)"),
    )
    spec = chart.to_dict()
    for name, terrain in terrains.items():
        for kind, table in tables(terrain, paths[name]).items():
            spec.setdefault("datasets", {})[f"{name}-{kind}"] = table
    return themed(vl_convert.vegalite_to_svg(spec), len(labels))


def panel(name: str, terrain: Terrain, labels: Sequence[str]) -> alt.LayerChart | alt.FacetChart:
    """One landscape: contour lines, the paths over them, the start and the minimizers.

    It names its tables, which `drawing` puts beside it: Altair would check every row.
    """
    plane = axes(terrain)
    layers = [
        level_lines(name).encode(**plane),
        *(layer.encode(**plane) for layer in path_layers(name, labels)),
        marks(name).encode(**plane),
    ]
    title = alt.Title(terrain.title, fontWeight="normal", fontSize=13, color="var(--ink)")
    return alt.layer(*layers).properties(width=SIZE, height=SIZE, title=title)


def axes(terrain: Terrain) -> dict[str, Any]:
    """How points are placed: nothing but the plane, as far as it is shown."""
    across, up = (alt.Scale(domain=list(box), nice=False) for box in terrain.view)
    return {"x": alt.X("x:Q", axis=None, scale=across), "y": alt.Y("y:Q", axis=None, scale=up)}


def level_lines(name: str) -> alt.Chart:
    """Where the loss has the same value."""
    mark = alt.Chart(alt.NamedData(name=f"{name}-contours")).mark_line(strokeWidth=0.8, clip=True)
    color = alt.value("var(--line)")
    layer: alt.Chart = mark.encode(detail="piece:N", order="at:Q", color=color)
    return layer


def path_layers(name: str, labels: Sequence[str]) -> Iterator[alt.Chart]:
    """The relatives' paths faintly, then the rule's own with a point for every step."""
    rule = alt.datum.who == labels[0]
    chart = alt.Chart(alt.NamedData(name=f"{name}-paths")).encode(order="step:Q")
    faint = chart.transform_filter(~rule).mark_line(strokeWidth=1.6, opacity=0.7, clip=True)
    strong = chart.transform_filter(rule).mark_line(strokeWidth=2.2, clip=True)
    dots = chart.transform_filter(rule).mark_point(size=14, filled=True, opacity=1, clip=True)
    for layer in (faint, strong):
        yield layer.encode(color=colors(labels), strokeDash=dashes(labels))
    yield dots.encode(color=colors(labels))


def colors(labels: Sequence[str]) -> alt.Color:
    """A colour for each walker, with the legend under the panels."""
    legend = alt.Legend(
        title=None, orient="bottom", labelColor="var(--ink)", labelFontSize=12, labelLimit=260,
        symbolType="stroke", symbolSize=900, symbolStrokeWidth=2.4, columnPadding=24,
    )  # fmt: skip
    names = [f"var(--path-{index})" for index in range(len(labels))]
    return alt.Color("who:N", scale=alt.Scale(domain=list(labels), range=names), legend=legend)


def dashes(labels: Sequence[str]) -> alt.StrokeDash:
    """A dash for each walker, so that colours are not needed to tell them apart."""
    scale = alt.Scale(domain=list(labels), range=[list(d) for d in DASHES[: len(labels)]])
    return alt.StrokeDash("who:N", scale=scale, legend=alt.Legend(title=None))


def marks(name: str) -> alt.Chart:
    """The start as a ring and the minimizers as crosses."""
    shapes = alt.Scale(domain=["start", "minimizer"], range=["circle", CROSS])
    points = alt.Chart(alt.NamedData(name=f"{name}-marks")).mark_point(
        size=70, strokeWidth=2, opacity=1, stroke="var(--ink)", fill="var(--end)"
    )
    layer: alt.Chart = points.encode(shape=alt.Shape("what:N", scale=shapes, legend=None))
    return layer


def tables(terrain: Terrain, paths: Mapping[str, Path]) -> dict[str, Table]:
    """The numbers of one panel."""
    return {
        "contours": [
            {"x": x, "y": y, "piece": piece, "at": at}
            for piece, line in enumerate(contours(terrain))
            for at, (x, y) in enumerate(line)
        ],
        "paths": [
            {"x": x, "y": y, "step": step, "who": label}
            for label, path in paths.items()
            for step, (x, y) in enumerate(path.points)
        ],
        "marks": ends(terrain.landscape),
    }


def ends(land: Landscape) -> Table:
    """Where runs start and where they should end."""
    minimizers = [{"x": x, "y": y, "what": "minimizer"} for x, y in land.minimizers.tolist()]
    x, y = land.start.tolist()
    return [*minimizers, {"x": x, "y": y, "what": "start"}]


def contours(terrain: Terrain) -> Iterator[list[list[float]]]:
    """Level lines at evenly spaced fourth roots: close together where it is nearly flat."""
    x, y = (torch.linspace(low, high, GRID, dtype=torch.float64) for low, high in terrain.view)
    values = terrain.landscape(torch.stack(torch.meshgrid(x, y, indexing="xy"), -1))
    excess = values - terrain.landscape.minimum
    levels = torch.linspace(0, float(excess.max()) ** 0.25, LEVELS + 1)[1:] ** 4
    lines = contourpy.contour_generator(x.numpy(), y.numpy(), excess.numpy())
    for level in levels.tolist():
        yield from (np.round(piece, 4).tolist() for piece in lines.lines(level))


def themed(svg: str, count: int) -> str:
    """The drawing with the values of its colours, for a light and for a dark page."""
    paths = {f"path-{index}": (LIGHT[index], DARK[index]) for index in range(count)}
    values = {**THEME, **paths}
    light, dark = (
        "".join(f"--{name}:{pair[which]};" for name, pair in values.items()) for which in (0, 1)
    )
    head, end, body = DECIMALS.sub(r"\1", svg).partition(">")
    style = f":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
    return f"{head}{end}<style>{style}</style>{body}"
