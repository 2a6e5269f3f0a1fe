"""How named parameters lie in one flat vector.

The edge between programs, which have parameters with names and shapes, and algorithms, which have
vectors of n numbers. Parameters follow each other in the order of their dict, each in row-major
order. Where precisions differ, the flat vector has the widest; each part is converted back to its
parameter's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import final

import torch
from torch import Tensor


@final
@dataclass(frozen=True)
class Layout:
    """The names, shapes, precisions and devices of parameters, in order."""

    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]
    dtypes: tuple[torch.dtype, ...]
    devices: tuple[torch.device, ...]

    @classmethod
    def of(cls, params: Mapping[str, Tensor]) -> "Layout":
        """The layout of `params`.

        Raises:
            TypeError: not a mapping of names to tensors.
            ValueError: no parameter, one that is not real floating point, or one passed twice.
        """
        check_params(params)
        tensors = tuple(params.values())
        return cls(
            names=tuple(params),
            shapes=tuple(tensor.shape for tensor in tensors),
            dtypes=tuple(tensor.dtype for tensor in tensors),
            devices=tuple(tensor.device for tensor in tensors),
        )

    @property
    def size(self) -> int:
        """n, the number of parameters counted one by one."""
        return sum(shape.numel() for shape in self.shapes)

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the flat vector: the widest of the parameters'."""
        return reduce(torch.promote_types, self.dtypes)

    @property
    def device(self) -> torch.device:
        """Where the flat vector lies: with the first parameter."""
        return self.devices[0]

    def flatten(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """The flat vector, shape (n,), of tensors with these names and shapes.

        Raises:
            ValueError: a name is missing or too many, or a shape differs.
        """
        if set(tensors) != set(self.names):
            odd = sorted(set(tensors) ^ set(self.names))
            raise ValueError(f"flatten: the names differ from the layout's in {odd}.")
        for name, shape in zip(self.names, self.shapes, strict=True):
            if tensors[name].shape != shape:
                raise ValueError(
                    f"flatten: {name!r} has shape {tuple(tensors[name].shape)}; "
                    f"the layout has {tuple(shape)}."
                )
        parts = [tensors[name].reshape(-1).to(self.device, self.dtype) for name in self.names]
        return torch.cat(parts)

    def unflatten(self, vector: Tensor) -> dict[str, Tensor]:
        """Named tensors of the layout's shapes from a flat vector of shape (n,).

        Raises:
            ValueError: the vector has another shape.
        """
        if vector.shape != (self.size,):
            raise ValueError(
                f"unflatten: the layout has {self.size} numbers; "
                f"got a vector of shape {tuple(vector.shape)}."
            )
        parts = torch.split(vector, [shape.numel() for shape in self.shapes])
        return {
            name: part.reshape(shape).to(device, dtype)
            for name, part, shape, device, dtype in zip(
                self.names, parts, self.shapes, self.devices, self.dtypes, strict=True
            )
        }


def check_params(params: object) -> None:
    """Raise TypeError or ValueError unless `params` can be laid out; see `Layout.of`."""
    if not isinstance(params, Mapping):
        raise TypeError(
            f"params is a {type(params).__name__}; give a dict of names to tensors, "
            "such as dict(model.named_parameters())."
        )
    for name, tensor in params.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"params[{name!r}] is a {type(tensor).__name__}; give a tensor.")
        if not tensor.dtype.is_floating_point:
            raise ValueError(
                f"params[{name!r}] is {tensor.dtype}; leave out what is not real floating point."
            )
    if sum(tensor.numel() for tensor in params.values()) == 0:
        raise ValueError("params holds no number; give at least one parameter with one entry.")
    check_distinct(params)


def check_distinct(params: Mapping[str, Tensor]) -> None:
    """Refuse one memory under two names: as two variables it would have another Hessian."""
    seen: dict[tuple[int, torch.Size, tuple[int, ...]], str] = {}
    for name, tensor in params.items():
        if tensor.numel() == 0 or tensor.data_ptr() == 0:  # a DTensor has no memory of its own
            continue
        place = (tensor.data_ptr(), tensor.shape, tensor.stride())
        if place in seen:
            raise ValueError(
                f"params[{seen[place]!r}] and params[{name!r}] are one tensor (tied): pass it "
                "once, as dict(model.named_parameters()) does, and use it at both places."
            )
        seen[place] = name
