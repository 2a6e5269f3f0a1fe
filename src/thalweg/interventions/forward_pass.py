"""Where in the forward pass a call stands: what positions planned on a recording refer to.

A pass begins when its first trained layer is called, once the pass before it is complete. Calls
that the recording did not count (a sigmoid for an accuracy, activations of a frozen part before the
first trained layer) therefore do not shift the positions of those that it did.
"""

from __future__ import annotations

from typing import Any

import torch

from thalweg.recorder.anatomy import LAYERS, plain
from thalweg.recorder.leaves import is_leaf
from thalweg.recorder.session import Call


class ForwardPass:
    """Counts the calls of one kind, of which a whole pass has ``period``."""

    def __init__(self, period: int) -> None:
        self._period = max(period, 1)
        self._count = 0
        self._first: torch.Tensor | None = None  # the weight of the first layer

    def begin_at(self, call: Call) -> None:
        """Begin a new pass if this call is the first layer and the pass before is complete."""
        weight = trained_weight(call)
        if weight is None:
            return
        if self._first is None:
            self._first = weight
        elif weight is self._first and self._count >= self._period:
            self._count = 0

    def next(self) -> int | None:
        """The position of a call that is counted; None before the first layer."""
        if self._first is None:
            return None
        self._count += 1
        return self._count - 1


def trained_weight(call: Call) -> torch.Tensor | None:
    """The first trained leaf that a layer is given; None if the call is no layer with one."""
    if plain(call.name) not in LAYERS:
        return None
    return next((one for one in tensors_of(call.args) if is_leaf(one)), None)


def tensors_of(part: Any) -> list[torch.Tensor]:
    """Every tensor among arguments and lists of arguments."""
    if isinstance(part, tuple | list):
        return [one for item in part for one in tensors_of(item)]
    return [part] if isinstance(part, torch.Tensor) else []
