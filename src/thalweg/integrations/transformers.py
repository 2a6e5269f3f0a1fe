"""A callback for the `Trainer` of Hugging Face Transformers.

`Trainer` tells its callbacks nothing of a run that ends by an exception. Such a run is reported as
the process ends, or at once where the training stands inside the callback:

    callback = TransformersCallback()
    trainer = Trainer(..., callbacks=[callback])
    with callback:
        trainer.train()

Reference: https://huggingface.co/docs/transformers/main_classes/callback
"""

from __future__ import annotations

import atexit
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from thalweg.integrations.fit import Fit
from thalweg.integrations.optional import base, needed
from thalweg.watching import Writer

TrainerCallback: Any = base(("transformers.trainer_callback",), "TrainerCallback")


class TransformersCallback(TrainerCallback):  # type: ignore[misc]
    """Watches `Trainer.train`, and reports when it ends. Also a context manager around it.

    Args:
        budget: Share of the run's time that watching may take.
        stop: Raise `thalweg.watching.TrainingBroke` as soon as something breaks.
        folder: Where to keep the recording and the last good state.
        writers: Who keeps what is seen (see `thalweg.watch`).
        report: Whether to print the report on standard error.

    Raises:
        ImportError: Transformers is not installed.
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
        if TrainerCallback is object:
            needed("transformers", "TransformersCallback()", "transformers")
        super().__init__()
        self._fit = Fit(budget, stop, folder, writers, report)

    @property
    def data(self) -> dict[str, Any]:
        """The report of the latest run as plain data (schema 1); empty before one has ended."""
        return self._fit.data

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Watch from here on."""
        self._fit.begin()
        atexit.register(self._process_ends)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The run has ended."""
        self._end(None)

    def __enter__(self) -> TransformersCallback:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        atexit.unregister(self._process_ends)
        self._fit.end(error)

    def _process_ends(self) -> None:
        """The run was not told to end: the exception that Python has just shown has ended it."""
        self._fit.end(getattr(sys, "last_value", None))

    def _repr_html_(self) -> str:
        """The report for a notebook."""
        return self._fit._repr_html_()
