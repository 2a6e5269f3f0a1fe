"""Training examples with their targets, a sample of them, as they meet the network and the loss.

What a batch lets in at the first weights is kept until its targets arrive. Memory: at most 800
examples of at most 512 numbers (of longer ones every n-th), in float32.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch

from thalweg.recorder.agreement import agreement
from thalweg.recorder.entrances import entrance_of
from thalweg.recorder.session import Call
from thalweg.recorder.tallies import targets_in

MOST_EXAMPLES, MOST_FEATURES, MOST_OUTPUTS = 800, 512, 64


class Examples:
    """Gathers inputs and targets of the first training batches, if they are ``wanted``."""

    def __init__(self, wanted: bool = True) -> None:
        self._wanted = wanted
        self._waiting: torch.Tensor | None = None
        self._inputs: list[torch.Tensor] = []
        self._targets: list[torch.Tensor] = []
        self._count = 0

    def look(self, call: Call) -> None:
        """Keep what enters, or put it together with its targets."""
        if not self._wanted or self._count >= MOST_EXAMPLES or not torch.is_grad_enabled():
            return
        if self._waiting is None:
            entrance = entrance_of(call)
            data = entrance.data if entrance else None
            self._waiting = data.detach() if data is not None and data.dim() > 1 else None
            return
        targets = targets_in(call)
        if targets is None:
            return
        data, self._waiting = self._waiting, None
        if targets.dim() and len(targets) == len(data) and not targets.is_complex():
            self._add(data, targets.detach())

    def _add(self, data: torch.Tensor, targets: torch.Tensor) -> None:
        rows, outputs = data.flatten(1), targets.reshape(len(targets), -1)
        alike = not self._inputs or (
            self._inputs[0].shape[1:] == _thinned(rows[:1]).shape[1:]
            and self._targets[0].shape[1:] == outputs.shape[1:]
        )
        if alike and outputs.shape[1] <= MOST_OUTPUTS:
            room = MOST_EXAMPLES - self._count
            self._inputs.append(_thinned(rows[:room]))
            self._targets.append(outputs[:room].to("cpu").clone())
            self._count += len(self._inputs[-1])

    def summary(self) -> dict[str, Any]:
        """How the targets agree with the inputs; empty where that cannot be told."""
        if not self._inputs:
            return {}
        targets = torch.cat(self._targets)
        with torch.device("cpu"):  # the script may have set another one, and the examples are here
            found = agreement(torch.cat(self._inputs), _as_classes(targets))
        return {} if found is None else asdict(found)


def _thinned(rows: torch.Tensor) -> torch.Tensor:
    """At most so many numbers of each example."""
    step = -(-rows.shape[1] // MOST_FEATURES)
    return rows[:, ::step].to("cpu", torch.float32).clone()


def _as_classes(targets: torch.Tensor) -> torch.Tensor:
    """Whole numbers in one column are classes, of whatever type."""
    one = targets.shape[1] == 1
    few = one and bool((targets == targets.round()).all()) and len(torch.unique(targets)) <= 100
    return targets[:, 0].to(torch.int64) if few else targets.to(torch.float64)
