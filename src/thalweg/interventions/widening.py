"""A layer with more units: its tensors and further ones, as one, at the call that uses them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from thalweg.recorder.anatomy import plain
from thalweg.recorder.session import Call


@dataclass(frozen=True)
class Extra:
    """Units that a tensor has beyond the script's: the last ``new`` after ``old`` along an axis.

    Attributes:
        axis: Counted from the end.
        layer: The position of the layer that they came from.
    """

    old: int
    new: int
    axis: int
    layer: int


@dataclass(frozen=True)
class Shape:
    """How a kind of layer uses its weight.

    Attributes:
        weight: Position of the weight among the call's arguments; the data stands first.
        out, into: The weight's axes of outputs and of inputs.
        axis: The axis of the units of data and result, from the end.
        bias: Position of the bias; None if it is added elsewhere.
    """

    weight: int
    out: int
    into: int
    axis: int
    bias: int | None


def shape_of(call: Call) -> Shape | None:
    """The shape of a layer that can get more units; None for other kinds."""
    name, args = plain(call.name), call.args
    if name == "linear":
        return Shape(1, 0, 1, -1, 2)
    if name in ("conv1d", "conv2d", "conv3d") and _given(call, 6, "groups", 1) == 1:
        return Shape(1, 0, 1, -1 - int(name[4]), 2)
    if name in ("matmul", "__matmul__", "mm") and args[1].dim() == 2 and args[0].dim() > 1:
        return Shape(1, 1, 0, -1, None)
    return None


def _given(call: Call, at: int, name: str, default: Any) -> Any:
    return call.args[at] if len(call.args) > at else call.kwargs.get(name, default)


@dataclass
class Grown:
    """A layer's further parameters, drawn uniformly in +-1 / sqrt(fan in).

    Attributes:
        columns: Weights from further inputs to the script's own units; None if there are none.
        rows: Weights from all inputs to further units; None if there are none.
        bias: Of the further units; None if the layer adds none.
    """

    weight: torch.Tensor
    shape: Shape
    inputs: int
    units: int
    columns: torch.Tensor | None = None
    rows: torch.Tensor | None = None
    bias: torch.Tensor | None = None

    @classmethod
    def drawn(
        cls, call: Call, shape: Shape, inputs: int, units: int, random: torch.Generator
    ) -> Grown:
        """With so many further inputs and units."""
        weight = call.args[shape.weight]
        made = cls(weight, shape, inputs, units)
        fan_in = weight.numel() / weight.shape[shape.out] * (1 + inputs / weight.shape[shape.into])
        reach = 1 / math.sqrt(max(fan_in, 1.0))
        if inputs:
            made.columns = _uniform(
                weight, made._sizes(weight.shape[shape.out], inputs), reach, random
            )
        if units:
            into = weight.shape[shape.into] + inputs
            made.rows = _uniform(weight, made._sizes(units, into), reach, random)
            if shape.bias is not None and _given(call, shape.bias, "bias", None) is not None:
                made.bias = _uniform(weight, [units], reach, random)
        return made

    def _sizes(self, out: int, into: int) -> list[int]:
        sizes = list(self.weight.shape)
        sizes[self.shape.out], sizes[self.shape.into] = out, into
        return sizes

    @property
    def parameters(self) -> list[torch.Tensor]:
        """All that is to be trained."""
        return [one for one in (self.columns, self.rows, self.bias) if one is not None]

    def whole(self, weight: torch.Tensor) -> torch.Tensor:
        """The script's weight with the further ones."""
        if self.columns is not None:
            weight = torch.cat([weight, self.columns], self.shape.into)
        return weight if self.rows is None else torch.cat([weight, self.rows], self.shape.out)

    def computing(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The layer's function with the further parameters."""
        at = self.shape.bias

        def compute(*args: Any, **kwargs: Any) -> Any:
            given = list(args)
            given[self.shape.weight] = self.whole(given[self.shape.weight])
            if self.bias is not None and at is not None and len(given) > at:
                given[at] = torch.cat([given[at], self.bias])
            elif self.bias is not None:
                kwargs = kwargs | {"bias": torch.cat([kwargs["bias"], self.bias])}
            return func(*given, **kwargs)

        return compute


def _uniform(
    like: torch.Tensor, sizes: Sequence[int], reach: float, random: torch.Generator
) -> torch.Tensor:
    noise = torch.rand(tuple(sizes), generator=random, dtype=torch.float64)
    return ((2 * noise - 1) * reach).to(like.device, like.dtype).requires_grad_()


@dataclass
class GrownVector:
    """Further entries of a vector with one entry a unit: a bias, or a normalization's affine part.

    Attributes:
        own: The script's.
        more: Those of the further units.
    """

    own: torch.Tensor
    more: torch.Tensor

    @classmethod
    def filled(cls, own: torch.Tensor, count: int, value: float, trained: bool) -> GrownVector:
        """All of one value."""
        return cls(own, own.detach().new_full((count,), value).requires_grad_(trained))

    @property
    def whole(self) -> torch.Tensor:
        """Both."""
        return torch.cat([self.own, self.more])


@dataclass
class GrownNorm:
    """A normalization over more units: statistics and affine part extended.

    Attributes:
        vectors: By the names of the call's arguments.
    """

    new: int
    vectors: dict[str, GrownVector] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Mapping[str, Any], new: int, fresh: Mapping[str, float]) -> GrownNorm:
        """For so many further units; ``fresh`` is what a new layer holds, by name."""
        made = cls(new)
        for name, value in fresh.items():
            own = given.get(name)
            if isinstance(own, torch.Tensor):
                made.vectors[name] = GrownVector.filled(own, new, value, own.requires_grad)
        return made

    def compute(self, func: Callable[..., Any], given: Mapping[str, Any]) -> Any:
        """The normalization over all units; running statistics are handed back."""
        whole = {name: vector.whole for name, vector in self.vectors.items()}
        result = func(**{**given, **whole})
        with torch.no_grad():
            for name, vector in self.vectors.items():
                if not vector.own.requires_grad:
                    vector.own.copy_(whole[name][: -self.new])
                    vector.more = whole[name][-self.new :].clone()
        return result
