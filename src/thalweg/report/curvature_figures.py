"""Charts of a survey of curvature as Vega-Lite specifications, made with Altair.

They have the colours, the font and the axes of a diagnosis' charts (`report.figures`).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import altair as alt

from thalweg.report.figures import Spec, finished, table

FEWEST: Final = 0.5  # eigenvalues in a bin that is drawn
BAR: Final = "var(--changed)"
APART: Final = "var(--as-it-is)"


def density_chart(spectrum: Mapping[str, Any], description: str) -> Spec:
    """Log-scaled bars over the eigenvalues, a line at zero, and a tick below each outlier."""
    tables = {"bars": bars(spectrum), "outliers": outliers(spectrum), "zero": [{"value": 0}]}
    low, high = spectrum["edges"][0], spectrum["edges"][-1]
    x = alt.Scale(domain=[low, high], nice=False, zero=False)
    top = max(1.0, *spectrum["counts"])
    layers = [bar_layer(x, top), outlier_layer(x, top)]
    if low < 0 < high:
        layers.insert(0, zero_layer(x))
    return finished(alt.layer(*layers), tables, description, height=260)


def bars(spectrum: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each bin that holds something."""
    edges = spectrum["edges"]
    rows = zip(edges, edges[1:], spectrum["counts"], strict=False)
    return [
        {"low": low, "high": high, "count": count, "floor": FEWEST}
        for low, high, count in rows
        if count > FEWEST
    ]


def outliers(spectrum: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each outlier, at the foot of the chart."""
    return [one | {"count": FEWEST} for one in spectrum["outliers"]]


def bar_layer(x: alt.Scale, top: float) -> alt.Chart:
    """The bars."""
    told = [
        alt.Tooltip("low:Q", title="from", format=".4~g"),
        alt.Tooltip("high:Q", title="to", format=".4~g"),
        alt.Tooltip("count:Q", title="eigenvalues", format=".3~g"),
    ]
    layer: alt.Chart = (
        table("bars")
        .mark_bar(color=BAR, binSpacing=1)
        .encode(
            x=alt.X("low:Q", title="eigenvalue", scale=x, axis=alt.Axis(tickCount=6, grid=False)),
            x2=alt.X2("high:Q"),
            y=counts_axis(top),
            y2=alt.Y2("floor:Q"),
            tooltip=told,
        )
    )
    return layer


def counts_axis(top: float) -> alt.Y:
    """The logarithmic axis of counts up to `top`, with a line at each power of ten."""
    scale = alt.Scale(type="log", domain=[FEWEST, 1.2 * top], nice=False)
    powers = [10**power for power in range(math.floor(math.log10(top)) + 1)]
    axis = alt.Axis(format=",.0f", values=powers)
    return alt.Y("count:Q", title="eigenvalues in a bin", scale=scale, axis=axis)


def outlier_layer(x: alt.Scale, top: float) -> alt.Chart:
    """A mark at the foot of each outlier's bar."""
    told = [
        alt.Tooltip("value:Q", title="outlier", format=".6~g"),
        alt.Tooltip("error:Q", title="error at most", format=".2~g"),
    ]
    layer: alt.Chart = (
        table("outliers")
        .mark_point(shape="triangle-up", filled=True, color=APART, size=70, opacity=1, yOffset=7)
        .encode(x=alt.X("value:Q", scale=x), y=counts_axis(top), tooltip=told)
    )
    return layer


def zero_layer(x: alt.Scale) -> alt.Chart:
    """A line at zero."""
    mark = table("zero").mark_rule(color="var(--muted)", strokeDash=[4, 3])
    layer: alt.Chart = mark.encode(x=alt.X("value:Q", scale=x))
    return layer


def moves_chart(steps: Sequence[Mapping[str, Any]], description: str) -> Spec:
    """lambda_max at each step, with a line between the steps of each optimizer."""
    rows = [
        {
            "step": step["step"],
            "value": step["largest"]["value"],
            "optimizer": step["optimizer"]["index"],
        }
        for step in steps
        if step["largest"]
    ]
    x = alt.X("step:Q", title="step", axis=alt.Axis(tickCount=5, grid=False))
    y = alt.Y("value:Q", title="largest eigenvalue", axis=alt.Axis(tickCount=5))
    told = [alt.Tooltip("step:Q", title="step"), alt.Tooltip("value:Q", title="lambda_max")]
    mark = table("moves").mark_line(color=BAR, strokeWidth=2.5, point={"color": BAR, "size": 60})
    chart = alt.layer(mark.encode(x=x, y=y, detail="optimizer:N", tooltip=told))
    return finished(chart, {"moves": rows}, description, height=220)
