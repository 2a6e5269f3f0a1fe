"""A writer for TensorBoard. Reference: https://docs.pytorch.org/docs/stable/tensorboard.html"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from thalweg.integrations.optional import needed
from thalweg.watching.writing import Level


class TensorBoardWriter:
    """Writes scalars, and alerts as texts under ``thalweg/alerts``, into an events file.

    Args:
        folder: Where the file goes; by default a new folder of ``runs``.

    Raises:
        ImportError: TensorBoard is not installed.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        library = needed("torch.utils.tensorboard", "TensorBoardWriter()", "tensorboard")
        self._writer = library.SummaryWriter(
            str(folder or time.strftime("runs/thalweg-%Y%m%d-%H%M%S"))
        )

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Add a point to each scalar's curve."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def alert(self, title: str, text: str, level: Level, step: int) -> None:
        """Add a text."""
        self._writer.add_text("thalweg/alerts", f"**{title}** ({level}): {text}", step)
        self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()
