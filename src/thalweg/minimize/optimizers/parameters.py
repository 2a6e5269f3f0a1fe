"""An optimizer's parameters as one flat vector, whatever their types, layouts and devices.

The vector lies with the first parameter and has the widest of their precisions. Complex parameters
count as pairs of real numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import final

import torch
from torch import Tensor

from thalweg.operators import Layout
from thalweg.operators.snapshot import Live


@final
class FlatParameters:
    """Parameters that are trained together.

    Args:
        call: the optimizer's name, for messages.
        params: leaves that require gradients, with at least one entry in all.

    Attributes:
        leaves: the parameters, each once.
        layout: where each lies in flat vectors of shape (n,).

    Raises:
        ValueError: a parameter has 16 bits or fewer.
    """

    def __init__(self, call: str, params: Iterable[Tensor]) -> None:
        self.leaves = list(dict.fromkeys(params))
        for leaf in self.leaves:
            check_precision(call, leaf)
        self.layout = Layout.of(self._named(leaf.detach() for leaf in self.leaves))

    @property
    def sizes(self) -> list[int]:
        """How many numbers each parameter has."""
        return [shape.numel() for shape in self.layout.shapes]

    def read(self) -> Tensor:
        """A copy of their values, shape (n,)."""
        return self.layout.flatten(self._named(leaf.detach() for leaf in self.leaves)).clone()

    def write(self, x: Tensor) -> None:
        """Set their values, unseen by autograd.

        A graph that was recorded at some point can so be used again when the parameters are back
        there; a write that autograd sees would make it useless.
        """
        for leaf, part in self._parts(x):
            real(leaf.data).copy_(part)

    def settle(self, x: Tensor) -> None:
        """Set their values as an optimizer's step does: graphs recorded before are refused."""
        with torch.no_grad():
            for leaf, part in self._parts(x):
                real(leaf).copy_(part)

    def stand_at(self, x: Tensor) -> bool:
        """Whether their values are those of flat `x`."""
        return all(torch.equal(real(leaf.detach()), part) for leaf, part in self._parts(x))

    def gradient(self) -> Tensor:
        """Their gradients as one vector, shape (n,); zero where there is none."""
        found = (torch.zeros_like(p) if p.grad is None else dense(p.grad) for p in self.leaves)
        return self.layout.flatten(self._named(each.detach() for each in found)).clone()

    def set_gradients(self, gradient: Tensor, having: Iterable[bool]) -> None:
        """Give each parameter its part as a new `grad`, or None to those that have none."""
        for (leaf, part), has in zip(self._parts(gradient), having, strict=True):
            own = torch.empty_like(leaf, requires_grad=False)
            real(own).copy_(part)
            leaf.grad = own if has else None

    def live(self) -> Live:
        """The parameters themselves, by name, for operators of what a closure computes."""
        return Live(zip(self.layout.names, self.leaves, strict=True))

    def _parts(self, x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(self.leaves, self.layout.unflatten(x).values(), strict=True)

    def _named(self, tensors: Iterable[Tensor]) -> dict[str, Tensor]:
        return {str(place): real(each) for place, each in enumerate(tensors)}


def real(tensor: Tensor) -> Tensor:
    """The tensor; a complex one as its real and imaginary parts, which share its memory."""
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def dense(gradient: Tensor) -> Tensor:
    """A gradient as a strided tensor."""
    return gradient.to_dense() if gradient.layout != torch.strided else gradient


def check_precision(call: str, parameter: Tensor) -> None:
    """Raise ValueError for a parameter too coarse to search along a line with."""
    if real(parameter.detach()).element_size() < 4:
        raise ValueError(
            f"{call}: a parameter is {parameter.dtype}. Such parameters round every step of a "
            "search to two or three digits, and the loss does not fall as its gradient says. Keep "
            "them in float32 and compute in less under torch.autocast."
        )
