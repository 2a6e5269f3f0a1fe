"""Charts of a report as Vega-Lite specifications, made with Altair.

A specification is plain data and holds its own numbers; the page draws it at the width it has.
Colours are names of CSS variables (`var(--changed)`), which the page sets for light, dark and
print, so that a chart follows the theme without being drawn again. Two kinds of line are told
apart by colour, by dash and by the key beside the chart.
"""

from collections.abc import Mapping
from typing import Any, Final

import altair as alt

from thalweg.report.scales import Scale, scale_of, ticks
from thalweg.report.tables import CHANGED, ROLES, Curves, Table, line_tables, seed_tables

Spec = dict[str, Any]
Layered = alt.LayerChart | alt.FacetChart

COLOURS: Final = ["var(--as-it-is)", "var(--changed)"]
SOLID: Final = [1, 0]
DASHES: Final = [[5, 3], SOLID]
CROSS: Final = "M-1,-1L1,1M-1,1L1,-1"
# Vega measures its labels with this font, so it must be one that a canvas understands.
FONT: Final = "system-ui, sans-serif"

THUMBNAIL_POINTS: Final = 150

CONFIG: Final[Spec] = {
    "background": "transparent",
    "font": FONT,
    "mark": {"aria": False},
    "view": {"stroke": None},
    "axis": {
        "domainColor": "var(--line)",
        "gridColor": "var(--line)",
        "gridOpacity": 0.6,
        "labelColor": "var(--muted)",
        "labelFontSize": 12,
        "labelOverlap": True,
        "tickColor": "var(--line)",
        "titleColor": "var(--muted)",
        "titleFontSize": 12,
        "titleFontWeight": "normal",
    },
}


def lines_chart(curves: Curves, description: str) -> Spec:
    """Curves over steps on one scale, logarithmic when they span decades.

    A jagged curve is drawn faintly, under its running median. A cross marks the last value before
    the first that was not finite.

    Args:
        curves: Curves by role, `AS_IT_IS` or `CHANGED`.
        description: What the chart shows, for those who cannot see it.
    """
    scale = scale_of(curves, CHANGED)
    tables = line_tables(curves, scale.high)
    return finished(layered(tables, scale), tables, description, height=260)


def small_chart(curves: Curves, description: str) -> Spec:
    """Curves at the size of a thumbnail, one of many: no titles, few ticks, nothing to hover."""
    scale = scale_of(curves, CHANGED)
    tables = line_tables(curves, scale.high, points=THUMBNAIL_POINTS)
    tables.pop("hover", None)
    spec = finished(layered(tables, scale), tables, description, height=96)
    spec["encoding"]["x"] |= {"title": None}
    for channel in ("x", "y"):
        spec["encoding"][channel]["axis"] |= {"tickCount": 3}
    return spec


def layered(tables: Mapping[str, Table], scale: Scale) -> Layered:
    """A layer for each table, on the axes, colours and dashes that they share."""
    layers = {"faint": faint, "lines": lines, "crosses": crosses, "hover": hover}
    drawn = [layers[name](rows) for name, rows in tables.items()]
    steps = alt.Scale(nice=False, zero=False)
    x = alt.X("step:Q", title="step", scale=steps, axis=alt.Axis(tickCount=5, grid=False))
    y = alt.Y("value:Q", title=None, axis=value_axis(scale), scale=value_scale(scale))
    roles = {row["run"] for row in tables.get("lines", ())}
    return alt.layer(*drawn).encode(x=x, y=y, color=color(), strokeDash=dash(len(roles)))


def value_scale(scale: Scale) -> alt.Scale:
    """The scale of the value axis."""
    domain = [scale.low, scale.high]
    return alt.Scale(type="log" if scale.logarithmic else "linear", domain=domain, nice=False)


def value_axis(scale: Scale) -> alt.Axis:
    """The value axis: few ticks, at round numbers."""
    if scale.logarithmic:
        return alt.Axis(format="~g", values=ticks(scale))
    return alt.Axis(tickCount=5)


def table(name: str) -> alt.Chart:
    """A chart of the table `name`, which `finished` puts beside it: Altair would check each row."""
    return alt.Chart(alt.NamedData(name=name))


def faint(rows: Table) -> alt.Chart:
    """Every extreme of jagged curves, in the background."""
    layer: alt.Chart = table("faint").mark_line(strokeWidth=1, opacity=0.3, clip=True)
    return layer


def lines(rows: Table) -> alt.Chart:
    """The curves; few points are shown as points too."""
    points = {"size": 30} if len(rows) <= 60 else False
    layer: alt.Chart = table("lines").mark_line(strokeWidth=2.5, clip=True, point=points)
    return layer


def crosses(rows: Table) -> alt.Chart:
    """Where curves stop being finite."""
    mark = table("crosses").mark_point(shape=CROSS, size=90, strokeWidth=2.5)
    layer: alt.Chart = mark.encode(strokeDash=alt.value(SOLID), tooltip=told("note"))
    return layer


def hover(rows: Table) -> alt.Chart:
    """Points that are not seen and say, under a pointer, what the curve is worth there."""
    mark = table("hover").mark_point(size=160, opacity=0, clip=True)
    layer: alt.Chart = mark.encode(strokeDash=alt.value(SOLID), tooltip=told("step", "value"))
    return layer


def told(*fields: str) -> list[alt.Tooltip]:
    """What a pointer over a mark shows: the run and some of the mark's fields."""
    kinds = {"step": ("Q", ",.0f"), "value": ("Q", ".4~g")}
    shown = [alt.Tooltip("run:N", title="run")]
    for field in fields:
        kind, style = kinds.get(field, ("N", ""))
        shown.append(alt.Tooltip(f"{field}:{kind}", title=field, format=style))
    return shown


def color() -> alt.Color:
    """The colour of a role; the page has the key."""
    return alt.Color("run:N", scale=alt.Scale(domain=ROLES, range=COLOURS), legend=None)


def dash(roles: int) -> alt.StrokeDash:
    """The dash of a role, for those who do not tell the colours apart; none for a lone curve."""
    dashes = DASHES if roles > 1 else [SOLID, SOLID]
    return alt.StrokeDash("run:N", scale=alt.Scale(domain=ROLES, range=dashes), legend=None)


def seeds_chart(verified: Mapping[str, Any], description: str) -> Spec:
    """The verified measure on each seed: an open diamond as it is, a full circle when changed."""
    tables = seed_tables(verified)
    layers = {"spans": seed_spans, "points": seed_points}
    y = alt.Y("seed:N", title=None, sort=None, axis=alt.Axis(grid=False))
    chart = alt.layer(*(layers[name]() for name in tables)).encode(y=y)
    return finished(chart, tables, description, height=44 * len(verified["seeds"]) + 20)


def seed_spans() -> alt.Chart:
    """A line from each seed's value as it is to its value with the change."""
    mark = table("spans").mark_rule(color="var(--muted)", opacity=0.6)
    layer: alt.Chart = mark.encode(x=seed_axis("before"), x2=alt.X2("after:Q"))
    return layer


def seed_axis(column: str) -> alt.X:
    """The axis of the verified measure; it need not hold zero."""
    axis = alt.Axis(tickCount=5)
    return alt.X(f"{column}:Q", title=None, scale=alt.Scale(zero=False), axis=axis)


def seed_points() -> alt.Chart:
    """One point for each seed and role."""
    fills = alt.Scale(domain=ROLES, range=["var(--card)", COLOURS[1]])
    shapes = alt.Scale(domain=ROLES, range=["diamond", "circle"])
    layer: alt.Chart = (
        table("points")
        .mark_point(size=130, strokeWidth=2.5, opacity=1)
        .encode(
            x=seed_axis("value"),
            stroke=alt.Stroke("run:N", scale=alt.Scale(domain=ROLES, range=COLOURS), legend=None),
            fill=alt.Fill("run:N", scale=fills, legend=None),
            shape=alt.Shape("run:N", scale=shapes, legend=None),
            tooltip=told("seed", "value"),
        )
    )
    return layer


def finished(chart: Layered, tables: Mapping[str, Table], description: str, height: int) -> Spec:
    """The specification: with its tables, as wide as the page allows, in the page's colours."""
    sized = chart.properties(width="container", height=height, description=description)
    size = {"type": "fit-x", "contains": "padding"}
    return {**sized.to_dict(), "datasets": dict(tables), "config": CONFIG, "autosize": size}
