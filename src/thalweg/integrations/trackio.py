"""A writer for Trackio. Reference: https://huggingface.co/docs/trackio"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thalweg.integrations.optional import needed
from thalweg.watching.writing import Level


class TrackioWriter:
    """Logs scalars, and sends alerts, which Trackio also prints.

    By default into a run of its own, beside the one that the program may have begun.

    Args:
        run: The run to log into, as `trackio.init` gives it; it is left open at the end.
        project: The project of a run of its own.

    Raises:
        ImportError: Trackio is not installed.
    """

    def __init__(self, run: Any = None, *, project: str = "thalweg") -> None:
        self._library = needed("trackio", "TrackioWriter()", "trackio")
        self._is_own = run is None
        self._run = run or self._new_run(project)

    def _new_run(self, project: str) -> Any:
        """A run that is not the program's current one, which `init` would finish."""
        current = needed("trackio.context_vars", "TrackioWriter()", "trackio").current_run
        token = current.set(None)
        try:
            return self._library.init(project=project, embed=False, auto_log_cpu=False)
        finally:
            current.reset(token)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Log a row."""
        self._run.log(dict(values), step=step)

    def alert(self, title: str, text: str, level: Level, step: int) -> None:
        """Send an alert."""
        known = self._library.AlertLevel
        levels = {"warn": known.WARN, "error": known.ERROR}
        self._run.alert(title=title, text=text, level=levels[level], step=step)

    def close(self) -> None:
        """Finish the run, if it is its own."""
        if self._is_own:
            self._run.finish()
