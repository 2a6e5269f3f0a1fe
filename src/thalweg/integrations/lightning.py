"""A callback for Lightning's `Trainer`, of `pytorch_lightning` and of `lightning.pytorch`.

Reference: https://lightning.ai/docs/pytorch/stable/extensions/callbacks.html
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from thalweg.integrations.fit import Fit
from thalweg.integrations.optional import base, needed
from thalweg.watching import Writer

LIBRARIES = ("lightning.pytorch", "pytorch_lightning")
Callback: Any = base(LIBRARIES, "Callback")


class LightningCallback(Callback):  # type: ignore[misc]
    """Watches `Trainer.fit`, and reports when it ends.

    Where both packages are installed, it is a callback of the one that was imported before it.

    Args:
        budget: Share of the run's time that watching may take.
        stop: Raise `thalweg.watching.TrainingBroke` as soon as something breaks.
        folder: Where to keep the recording and the last good state.
        writers: Who keeps what is seen (see `thalweg.watch`).
        report: Whether to print the report on standard error.

    Raises:
        ImportError: Lightning is not installed.
        ValueError: The budget is no share.
    """

    def __init__(
        self,
        *,
        budget: float = 0.05,
        stop: bool = False,
        folder: str | Path | None = None,
        writers: Sequence[Writer] = (),
        report: bool = True,
    ) -> None:
        if Callback is object:
            needed("pytorch_lightning", "LightningCallback()", "lightning")
        super().__init__()
        self._fit = Fit(budget, stop, folder, writers, report)

    @property
    def data(self) -> dict[str, Any]:
        """The report of the latest fit as plain data (schema 1); empty before one has ended."""
        return self._fit.data

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Watch from here on: the optimizers are there, and no batch has been seen."""
        self._fit.begin()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """The fit has ended by an exception."""
        self._fit.end(exception)

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """The fit has ended."""
        self._fit.end()

    def _repr_html_(self) -> str:
        """The report for a notebook."""
        return self._fit._repr_html_()
