"""A fit that is watched from its beginning to its end, for trainers that tell of both."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from thalweg.report import ReportError, framed, render_text
from thalweg.watching import Watching, Writer


class Fit:
    """Watches fits, one after the other, and reports each at its end on standard error.

    A fit of several processes is not watched: looking at a step in full computes it again, which
    the other processes would wait for.

    Args:
        budget: As of `thalweg.watch`.
        stop: As of `thalweg.watch`.
        folder: As of `thalweg.watch`.
        writers: As of `thalweg.watch`; they are closed when the first fit ends.
        report: Whether to print the report when a fit ends.

    Attributes:
        data: The report of the latest fit that has ended, as plain data; empty before.
    """

    def __init__(
        self,
        budget: float,
        stop: bool,
        folder: str | Path | None,
        writers: Sequence[Writer],
        report: bool,
    ) -> None:
        self.data: dict[str, Any] = {}
        self._how: dict[str, Any] = {"budget": budget, "stop": stop, "folder": folder}
        Watching(**self._how)  # what cannot be is said where it is written
        self._writers, self._report = list(writers), report
        self._watching: Watching | None = None

    def begin(self) -> None:
        """A fit begins; one that was not told to end has ended."""
        self.end()
        if several_processes():
            print("thalweg watch: a fit of several processes is not watched", file=sys.stderr)
            return
        self._watching = Watching(**self._how, writers=self._writers)
        self._watching.__enter__()

    def end(self, error: BaseException | None = None) -> None:
        """The fit has ended, by this exception or by itself."""
        watching, self._watching = self._watching, None
        if watching is None:
            return
        self._writers = []
        watching.__exit__(type(error) if error else None, error, None)
        self.data = watching.data
        if self._report:
            say(self.data)

    def _repr_html_(self) -> str:
        """The report of the latest fit for a notebook."""
        return framed(self.data) if self.data else "<p>No fit that was watched has ended yet.</p>"


def several_processes() -> bool:
    """Whether this is one of several processes that train together."""
    there = torch.distributed
    return there.is_available() and there.is_initialized() and there.get_world_size() > 1


def say(data: Mapping[str, Any]) -> None:
    """Print a report on standard error; its reason alone where Rich is not installed."""
    try:
        from rich.console import Console

        render_text(data, Console(stderr=True))
    except (ModuleNotFoundError, ReportError):
        print(f"thalweg watch: {data['reason']}", file=sys.stderr)
