"""Every evaluation of a step is the same evaluation: same random draws, same buffers.

A search compares losses at several points. With other dropout masks at each it would compare masks.
So all evaluations of a step begin where the first one began: the random generators, and the buffers
of a model if it is known (batch normalization's running statistics). After the step both stand
where that first evaluation left them, so that a step counts once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from thalweg.operators.model_loss import generators
from thalweg.operators.random_state import RandomState


@final
@dataclass(frozen=True)
class Buffer:
    """A module's buffer, with its value at some moment."""

    module: nn.Module
    name: str
    tensor: Tensor
    value: Tensor

    def restore(self) -> None:
        """The same tensor with the value of that moment, unseen by autograd."""
        self.module._buffers[self.name] = self.tensor
        self.tensor.data.copy_(self.value)


@final
@dataclass(frozen=True)
class Surroundings:
    """What an evaluation may draw from or write to."""

    random: RandomState
    buffers: tuple[Buffer, ...]

    @classmethod
    def now(cls, model: nn.Module | None, devices: Iterable[torch.device]) -> Surroundings:
        """As they are."""
        if model is None:
            return cls(RandomState.now(devices), ())
        return cls(RandomState.now(devices, generators(model).values()), tuple(buffers(model)))

    def restore(self) -> None:
        """Put everything back."""
        self.random.restore()
        for buffer in self.buffers:
            buffer.restore()


@final
class Replay:
    """The surroundings of one step after another.

    Args:
        model: whose buffers and own generators are put back; None for none.
    """

    def __init__(self, model: nn.Module | None) -> None:
        self.model = model
        self._devices: tuple[torch.device, ...] = ()
        self._before: Surroundings | None = None
        self._after: Surroundings | None = None

    def begin(self, params: Iterable[Tensor]) -> None:
        """Begin a step over these parameters."""
        devices = {p.device for p in params if p.device.type == "cuda"}
        self._devices = tuple(sorted(devices, key=str))
        self._before, self._after = Surroundings.now(self.model, self._devices), None

    def end(self) -> None:
        """End it: afterwards its first evaluation has happened once, and no other."""
        if self._after is not None:
            self._after.restore()
        self._before = self._after = None

    @contextmanager
    def evaluation(self) -> Iterator[None]:
        """One evaluation, from where the step's first one began."""
        if self._before is not None and self._after is not None:
            self._before.restore()
        yield
        if self._after is None:
            self._after = Surroundings.now(self.model, self._devices)


def buffers(model: nn.Module) -> Iterator[Buffer]:
    """All buffers of a model, with copies of their values."""
    for module in model.modules():
        for name, tensor in module._buffers.items():
            if tensor is not None:
                yield Buffer(module, name, tensor, tensor.detach().clone())
