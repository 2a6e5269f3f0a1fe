"""What is counted over a whole run: modes of layers, and the targets of training batches.

Memory: one mean a batch for the first 2000 batches, and one count a class.
"""

from __future__ import annotations

from typing import Any

import torch

from thalweg.recorder.anatomy import plain
from thalweg.recorder.readings import LOSSES
from thalweg.recorder.session import Call
from thalweg.recorder.statistics import number

MODES = {"batch_norm": (5, False), "dropout": (2, True)}  # where the flag stands, and its default
TARGET_MEANS = 2000
ENDINGS = LOSSES | {"sub", "__sub__", "rsub", "__rsub__"}


class ModeTally:
    """Calls that behave differently in training and evaluation, by how they ran and where."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def look(self, call: Call) -> None:
        """Count this call, if it is one of those."""
        name = plain(call.name)
        if name in MODES:
            position, default = MODES[name]
            given = call.kwargs.get("training", default)
            active = call.args[position] if len(call.args) > position else given
            where = "training" if torch.is_grad_enabled() else "evaluation"
            key = f"{name} {'active' if active else 'passive'} in {where}"
            self.counts[key] = self.counts.get(key, 0) + 1


class TargetTally:
    """The mean target of each training batch, and how often each class occurs."""

    def __init__(self) -> None:
        self.means: list[float] = []
        self.counts: dict[int, int] = {}

    def look(self, call: Call) -> None:
        """Count the targets that meet outputs in this call."""
        target = targets_in(call) if torch.is_grad_enabled() else None
        if target is None or target.is_complex() or len(self.means) >= TARGET_MEANS:
            return
        mean = number(target.detach().double().mean())
        if mean is not None:
            self.means.append(mean)
        self._count_classes(target.detach().flatten())

    def _count_classes(self, flat: torch.Tensor) -> None:
        """Targets that are whole numbers from 0 to 99 are classes."""
        if flat.is_floating_point() and not bool((flat == flat.round()).all()):
            return
        if not 0 <= float(flat.min()) <= float(flat.max()) < 100:
            return
        for label, count in enumerate(torch.bincount(flat.to(torch.int64)).tolist()):
            if count:
                self.counts[label] = self.counts.get(label, 0) + count


def targets_in(call: Call) -> torch.Tensor | None:
    """Of two tensors that meet in a loss or a difference, the one that no gradient flows to."""
    if plain(call.name) not in ENDINGS:
        return None
    given: list[Any] = [*call.args[:2], call.kwargs.get("input"), call.kwargs.get("target")]
    tensors = [one for one in given if isinstance(one, torch.Tensor) and one.numel() > 1]
    if len(tensors) != 2 or tensors[0].requires_grad == tensors[1].requires_grad:
        return None
    return tensors[1] if tensors[0].requires_grad else tensors[0]
