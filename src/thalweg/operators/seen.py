"""What is known of the tensor that a node of a tape stands for, without the tensor."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any, final

import torch
from torch import Tensor, fx

KEY = "seen"  # in the node's `meta`


@final
@dataclass(frozen=True)
class Seen:
    """Shape, precision, device and memory of a tensor.

    Attributes:
        memory: the same object for tensors that share their memory; a new one by default.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    memory: object = field(default_factory=object)

    @classmethod
    def of(cls, tensor: Tensor) -> Seen:
        """That of a tensor, which is to be kept for as long as this."""
        return cls(tuple(tensor.shape), tensor.dtype, tensor.device, place(tensor))

    def filled(self, number: float) -> Tensor:
        """A tensor of this kind, full of a number."""
        return torch.full(self.shape, number, dtype=self.dtype, device=self.device)

    def fresh(self, shape: tuple[int, ...]) -> Seen:
        """Another of this kind, in memory of its own."""
        return replace(self, shape=shape, memory=object())

    def turned(self) -> Seen:
        """The same with its last two dimensions exchanged."""
        return replace(self, shape=(*self.shape[:-2], self.shape[-1], self.shape[-2]))

    def like(self, other: Seen | None) -> bool:
        """Whether the other has the same shape, precision and device."""
        return other is not None and replace(other, memory=self.memory) == self


def seen_of(node: Any) -> Seen | None:
    """What is known of a node; None where it stands for no tensor."""
    return node.meta.get(KEY) if isinstance(node, fx.Node) else None


def shape_together(shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    """The shape of what tensors of shapes that fit each other make number by number."""
    reverse = zip_longest(*(shape[::-1] for shape in shapes), fillvalue=1)
    return tuple(next((size for size in sizes if size != 1), 1) for sizes in reverse)[::-1]


def place(tensor: Tensor) -> int:
    """What tensors that share their memory have in common."""
    return int(tensor.untyped_storage()._cdata)
