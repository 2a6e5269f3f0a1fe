"""A writer for Weights & Biases. Reference: https://docs.wandb.ai/ref/python"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thalweg.integrations.optional import needed
from thalweg.watching.writing import Level

STEP = "thalweg/step"


class WandbWriter:
    """Logs scalars over ``thalweg/step``, and sends alerts.

    By default into a run of its own, which leaves the program's runs and `wandb.run` alone. In a
    run that is given, each step that is looked at is one more row of its history, so that a
    program that numbers its rows itself (`wandb.log(..., step=...)`) may find its numbers taken.

    Args:
        run: The run to log into, as `wandb.init` gives it; it is left open at the end.
        project: The project of a run of its own.

    Raises:
        ImportError: `wandb` is not installed.
    """

    def __init__(self, run: Any = None, *, project: str = "thalweg") -> None:
        self._library = needed("wandb", "WandbWriter()", "wandb")
        self._is_own = run is None
        self._run = run or self._library.init(
            project=project, job_type="watch", reinit="create_new"
        )
        self._run.define_metric(STEP, hidden=True)
        self._run.define_metric("thalweg/*", step_metric=STEP)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Log a row."""
        self._run.log({**values, STEP: step})

    def alert(self, title: str, text: str, level: Level, step: int) -> None:
        """Send an alert."""
        known = self._library.AlertLevel
        levels = {"warn": known.WARN, "error": known.ERROR}
        self._run.alert(title=title, text=f"Step {step}: {text}", level=levels[level])

    def close(self) -> None:
        """Finish the run, if it is its own."""
        if self._is_own:
            self._run.finish()
