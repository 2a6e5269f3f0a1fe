"""Counts a run's training samples: how many there are, and how often each comes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import torch

from thalweg.recorder.recording import COUNTS_FILE
from thalweg.recorder.sample_losses import SampleLosses
from thalweg.recorder.session import Call, Listener

MOST_VISITS = 300_000  # that are counted; a set of so many numbers takes about 20 MB


class SampleCount(Listener):
    """Counts samples by their content, and leaves everything as it is.

    Args:
        folder: Where ``samples.json`` goes: ``samples`` (different ones), ``visits`` (rows of
            batches that took part in a loss), ``repeats`` (rows equal to another of their own
            batch), ``expected_repeats`` (as many as there would be if each row were any of the
            samples), ``largest`` (rows of the largest batch), ``passes`` (losses that were
            differentiated), ``unseen`` (those of which the samples were not).
    """

    only_looks: ClassVar[bool] = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._losses = SampleLosses()
        self._pending: torch.Tensor | None = None
        self._last: torch.Tensor | None = None
        self._different: set[int] = set()
        self._sizes: dict[int, int] = {}
        self._visits = self._repeats = self._repeated = self._passes = self._unseen = 0

    def rewrite(self, call: Call) -> None:
        """Find the samples of a loss."""
        if self._visits < MOST_VISITS and torch.is_grad_enabled():
            ending = self._losses.look(call)
            self._pending = ending.keys if ending else self._pending

    def called(self, call: Call, result: Any) -> None:
        """Follow outputs that have met their targets."""
        if self._visits < MOST_VISITS and torch.is_grad_enabled():
            self._losses.follow(result)

    def before_backward(self, loss: torch.Tensor) -> None:
        """Count the samples in."""
        if self._visits >= MOST_VISITS:
            return
        self._passes += 1
        self._unseen += self._pending is None
        if self._pending is not None:
            self._count(self._pending)
        self._pending = None

    def after_backward(self, loss: torch.Tensor) -> None:
        """The next forward pass begins."""
        self._losses.clear()

    def _count(self, keys: torch.Tensor) -> None:
        self._visits += len(keys)
        self._sizes[len(keys)] = self._sizes.get(len(keys), 0) + 1
        if self._last is None or not torch.equal(keys, self._last):  # the same: all of the data
            own = set(keys.tolist())
            self._last, self._repeated = keys, len(keys) - len(own)
            self._different |= own
        self._repeats += self._repeated

    def finished(self) -> None:
        """Write the counts."""
        (self._folder / COUNTS_FILE).write_text(json.dumps(self._counts()))

    def _counts(self) -> dict[str, Any]:
        return {
            "samples": len(self._different),
            "visits": self._visits,
            "repeats": self._repeats,
            "expected_repeats": sum(
                times * expected_repeats(size, len(self._different))
                for size, times in self._sizes.items()
            ),
            "largest": max(self._sizes, default=0),
            "passes": self._passes,
            "unseen": self._unseen,
        }


def expected_repeats(drawn: int, samples: int) -> float:
    """Of so many draws with replacement from equally likely samples, those that are none's first.

    They are drawn - n (1 - (1 - 1/n)^drawn) for n samples.
    """
    return drawn - samples * (1 - (1 - 1 / samples) ** drawn) if samples else 0.0
