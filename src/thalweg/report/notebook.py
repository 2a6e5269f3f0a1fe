"""A report in a notebook: its HTML page in a frame of its own, so that no style gets in or out."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from html import escape
from typing import Any, final

from thalweg.report.json import plain
from thalweg.report.schema import validate


def framed(data: Mapping[str, Any], height: int = 720) -> str:
    """A report for a notebook: the HTML page in a frame of its own, `height` pixels high.

    Where the packages that draw it are missing, the same report as text.

    Raises:
        ReportError: `data` does not fit the schema.
    """
    try:
        from thalweg.report.html import render
    except ModuleNotFoundError:
        return f"<pre>{escape(json.dumps(plain(data), indent=1))}</pre>"
    page = escape(render(data), quote=True)
    style = f"width:100%;height:{height}px;border:0"
    return f'<iframe srcdoc="{page}" style="{style}" title="Thalweg report"></iframe>'


@final
class Shown:
    """A report as the last line of a notebook's cell: its page there, its text in a terminal.

    Args:
        data: A report as plain data (schema 1).
        height: Of the page's frame, in pixels.

    Raises:
        ReportError: `data` does not fit the schema.
    """

    def __init__(self, data: Mapping[str, Any], height: int = 720) -> None:
        self._data, self._height = validate(plain(data)), height

    def _repr_html_(self) -> str:
        return framed(self._data, self._height)

    def __repr__(self) -> str:
        try:
            from rich.console import Console

            from thalweg.report import text
        except ModuleNotFoundError:
            return f"{self._data['verdict']}: {self._data['reason']}"
        console = Console(file=io.StringIO(), width=100)
        text.render(self._data, console)
        return str(console.file.getvalue()).rstrip()  # type: ignore[attr-defined]
