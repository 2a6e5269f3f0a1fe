"""A survey of curvature as one HTML file that works offline, in the look of a diagnosis' page."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from thalweg.report import curvature_wording as wording
from thalweg.report.atomic import write_text
from thalweg.report.curvature_figures import density_chart, moves_chart
from thalweg.report.figures import Spec
from thalweg.report.html import drawing_library, embedded, script_hash, template, text_of
from thalweg.report.json import plain
from thalweg.report.schema import ReportError
from thalweg.report.wording import printable

VERSION = 1


def write(data: Mapping[str, Any], path: str | Path) -> None:
    """Write the survey `data` as HTML to `path`, whole or not at all.

    Raises:
        ReportError: `data` is no survey, or the file cannot be written.
    """
    write_text(path, render(data))


def render(data: Mapping[str, Any]) -> str:
    """The survey `data` as the text of an HTML page.

    Raises:
        ReportError: `data` is no survey of this version.
    """
    data = plain(data)
    check(data)
    shown = printable(data)
    scripts = [drawing_library(), text_of("page.js")]
    return template("curvature.html").render(
        data=shown,
        survey=wording,
        answered=[step for step in shown["steps"] if "failed" not in step],
        policy=" ".join(map(script_hash, scripts)),
        scripts=list(map(Markup, scripts)),
        style=Markup(text_of("page.css")),
        charts=embedded(dict(charts(shown))),
        report=embedded(data),
    )


def charts(data: Mapping[str, Any]) -> Iterator[tuple[str, Spec]]:
    """The charts by name: a density for each step, and how the largest eigenvalue moved."""
    answered = [step for step in data["steps"] if "failed" not in step]
    for at, step in enumerate(data["steps"]):
        if "failed" not in step and "failed" not in step["spectrum"]:
            told = f"Density of the Hessian's eigenvalues at step {step['step']}"
            yield f"density-{at}", density_chart(step["spectrum"], told)
    if len(answered) > 1:
        yield "moves", moves_chart(answered, "The largest eigenvalue at each step")


def check(data: Mapping[str, Any]) -> None:
    """Raise ReportError on what is no survey, or one of another version."""
    if data.get("kind") != "curvature":
        raise ReportError("not a survey of curvature: write one with thalweg curvature --json PATH")
    if data.get("schema") != VERSION:
        raise ReportError(
            f"a survey of schema {data.get('schema')}; this Thalweg reads {VERSION}: upgrade with: "
            "pip install --upgrade thalweg"
        )
