"""A diagnosis as text, as JSON and as one HTML file. Renders plain data and measures nothing.

    from thalweg import report

    data = report.read("diagnosis.json")
    report.render_text(data)
    report.write_html(data, "diagnosis.html")

Reading and writing JSON needs the standard library alone. `render_text` and `before_and_after`
need the extra `thalweg[cli]`, `write_html` needs `thalweg[report]`; they are imported when they
are called.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.report.json import write as write_json
from thalweg.report.notebook import Shown, framed
from thalweg.report.schema import Report, ReportError, read, validate

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "Report",
    "ReportError",
    "Shown",
    "before_and_after",
    "framed",
    "read",
    "render_text",
    "show",
    "validate",
    "write_curvature_html",
    "write_html",
    "write_json",
]


def render_text(data: Mapping[str, Any], console: "Console | None" = None) -> None:
    """Print a report: verdict, proof, what to change, evidence, what was ruled out, cost.

    Args:
        data: A report as plain data (schema 1).
        console: A `rich.console.Console`; standard output when left out.

    Raises:
        ReportError: `data` does not fit the schema, or Rich is not installed.
    """
    try:
        from thalweg.report import text
    except ModuleNotFoundError as error:
        raise missing("render_text", "cli", error) from error
    text.render(data, console)


def before_and_after(data: Mapping[str, Any], console: "Console | None" = None) -> None:
    """Print the first finding's proof alone: the script as it is, and with the change.

    Args:
        data: A report as plain data (schema 1).
        console: A `rich.console.Console`; standard output when left out.

    Raises:
        ReportError: `data` does not fit the schema, or Rich is not installed.
    """
    try:
        from thalweg.report import text
    except ModuleNotFoundError as error:
        raise missing("before_and_after", "cli", error) from error
    text.before_and_after(data, console)


def write_html(data: Mapping[str, Any], path: str | Path) -> None:
    """Write a report as one HTML file that needs no network, whole or not at all.

    Args:
        data: A report as plain data (schema 1).
        path: Where to write; a file there is replaced.

    Raises:
        ReportError: `data` does not fit the schema, the file cannot be written, or Altair,
            vl-convert or Jinja are not installed.
    """
    try:
        from thalweg.report.html import write
    except ModuleNotFoundError as error:
        raise missing("write_html", "report", error) from error
    write(data, path)


def show(data: Mapping[str, Any], height: int = 720) -> Shown:
    """A report as the last line of a notebook's cell: its page there, its text in a terminal.

        thalweg.report.show(thalweg.diagnose("train.py"))

    Args:
        data: A report as plain data (schema 1).
        height: Of the page's frame, in pixels.

    Raises:
        ReportError: `data` does not fit the schema.
    """
    return Shown(data, height)


def write_curvature_html(data: Mapping[str, Any], path: str | Path) -> None:
    """Write a survey of curvature as one HTML file that needs no network, whole or not at all.

    Args:
        data: What `thalweg.curvature_of` gives, or `thalweg curvature --json` writes.
        path: Where to write; a file there is replaced.

    Raises:
        ReportError: `data` is no such survey, the file cannot be written, or Altair, vl-convert or
            Jinja are not installed.
    """
    try:
        from thalweg.report.curvature_page import write
    except ModuleNotFoundError as error:
        raise missing("write_curvature_html", "report", error) from error
    write(data, path)


def missing(name: str, extra: str, error: ModuleNotFoundError) -> ReportError:
    """The error for a package that an extra would have installed."""
    return ReportError(
        f"thalweg.report.{name} needs the package {error.name}: "
        f"install it with: pip install 'thalweg[{extra}]'"
    )
