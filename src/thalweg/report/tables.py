"""The numbers of each chart as rows of tables, thinned to what a screen can show."""

from collections.abc import Mapping
from typing import Any, Final

from thalweg.report.curves import POINTS, Curve, break_step, is_jagged, smoothed, thinned

AS_IT_IS: Final = "as it is"
CHANGED: Final = "with the change"
ROLES: Final = [AS_IT_IS, CHANGED]
HOVER_POINTS: Final = 120

Row = dict[str, Any]
Table = list[Row]
Curves = Mapping[str, Curve]


def line_tables(curves: Curves, ceiling: float, points: int = POINTS) -> dict[str, Table]:
    """The tables of a chart of curves, without those that would be empty.

    Args:
        curves: Curves by role.
        ceiling: The greatest value in the picture.
        points: About how many points a curve may have.

    Returns:
        `faint`: jagged curves, every extreme; `lines`: every curve, or what stands for it;
        `crosses`: where curves stop being finite; `hover`: some points of the lines.
    """
    jagged = {role: curve for role, curve in curves.items() if is_jagged(curve)}
    drawn = {
        role: thinned(smoothed(curve) if role in jagged else curve, points)
        for role, curve in curves.items()
    }
    tables = {
        "faint": rows_of({role: thinned(curve, points) for role, curve in jagged.items()}),
        "lines": rows_of(drawn),
        "crosses": [row for role in curves for row in break_rows(role, curves[role], ceiling)],
        "hover": rows_of({role: thinned(curve, HOVER_POINTS) for role, curve in drawn.items()}),
    }
    return {name: rows for name, rows in tables.items() if rows}


def rows_of(curves: Curves) -> Table:
    """Curves as rows of one table."""
    return [
        {"run": role, "step": step, "value": rounded(value)}
        for role, curve in curves.items()
        for step, value in zip(*curve, strict=True)
    ]


def rounded(value: float | None) -> float | None:
    """Six digits: more than a screen can show, in a third of the bytes."""
    return None if value is None else float(f"{value:.6g}")


def break_rows(role: str, curve: Curve, ceiling: float) -> Table:
    """The last point before the first that was not finite, if there are both."""
    broken = break_step(curve)
    if broken is None or curve.values[0] is None:
        return []
    pairs = zip(curve.steps, curve.values, strict=False)
    step, value = [(step, value) for step, value in pairs if value is not None and step < broken][
        -1
    ]
    note = f"not finite from step {broken:g}"
    return [{"run": role, "step": step, "value": min(value, ceiling), "note": note}]


def seed_tables(verified: Mapping[str, Any]) -> dict[str, Table]:
    """The tables of the verified measure.

    Returns:
        `spans`: before and after, one row a seed that has both; `points`: one row a seed and role.
        Without those that would be empty.
    """
    columns = (verified["seeds"], verified["before"], verified["after"])
    triples = [(f"seed {seed}", *values) for seed, *values in zip(*columns, strict=False)]
    spans = [
        {"seed": seed, "before": before, "after": after}
        for seed, before, after in triples
        if before is not None and after is not None
    ]
    points = [
        {"run": role, "seed": seed, "value": value}
        for seed, *values in triples
        for role, value in zip(ROLES, values, strict=True)
        if value is not None
    ]
    tables = {"spans": spans, "points": points}
    return {name: rows for name, rows in tables.items() if rows}
