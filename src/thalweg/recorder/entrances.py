"""Entrances: where data that depends on no parameter meets the first weights, and its moments.

Memory: at most 64 MB of a batch at a time in float64; for each entrance a mean, a square and, of up
to 256 features, the matrix of second moments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from thalweg.recorder.anatomy import LAYERS, plain
from thalweg.recorder.leaves import is_leaf, needs_gradient
from thalweg.recorder.session import Call

MOMENT_ROWS = 5000
MOST_NUMBERS = 8_000_000
SECOND_MOMENT_FEATURES = 256
AFTER_BIAS = frozenset({"addmm", "addmv", "baddbmm"})
PRODUCTS = frozenset({"matmul", "__matmul__", "mm", "mv", "bmm"})  # the weight may stand first


class Entrance(NamedTuple):
    """Data that a layer lets in.

    Attributes:
        data: The data as the layer is given it.
        weight: What it meets.
        axis: The axis of its features, counted from the end.
        channels: Whether its features are the channels of images or signals.
    """

    data: torch.Tensor
    weight: torch.Tensor
    axis: int
    channels: bool


def entrance_of(call: Call, known: Mapping[int, Any] | None = None) -> Entrance | None:
    """Where this call lets data in, else None.

    ``known`` are the addresses of weights: a script that evaluates with ``weight.detach()`` gives
    another tensor over the same numbers.
    """
    name = plain(call.name)
    if name not in LAYERS:
        return None
    weight = _weight(call.args, known or {})
    tensors = [one for one in call.args if isinstance(one, torch.Tensor)]
    at = 1 if name in AFTER_BIAS or (name in PRODUCTS and tensors[0] is weight) else 0
    data = tensors[at] if len(tensors) > at else None
    if weight is None or data is None or not data.is_floating_point() or needs_gradient(data):
        return None
    if not data.dim() or not data.numel():
        return None
    return Entrance(data, weight, _axis(name, at, data), name.startswith("conv"))


def _weight(args: tuple[Any, ...], known: Mapping[int, Any]) -> torch.Tensor | None:
    """The first leaf among the weights: those of recurrent layers come as a list."""
    lists = [part for part in args if isinstance(part, list | tuple)]
    given = [*args, *(one for part in lists for one in part)]
    tensors = (one for one in given if isinstance(one, torch.Tensor))
    return next((one for one in tensors if is_leaf(one) or address(one) in known), None)


def address(tensor: torch.Tensor) -> int | None:
    """Where the tensor's numbers stand; None where it has none of its own."""
    if tensor.is_sparse or not tensor.is_floating_point() or not tensor.numel():
        return None
    try:
        return tensor.data_ptr()
    except RuntimeError:  # a tensor that only stands for one, as in tracing
        return None


def _axis(name: str, at: int, data: torch.Tensor) -> int:
    """Channels stand before space; the columns of a matrix behind its weight are observations."""
    if name.startswith("conv"):
        return -1 - int(name[-2])
    return -2 if name in PRODUCTS and at == 1 and data.dim() > 1 else -1


def features_last(data: torch.Tensor, axis: int = -1) -> torch.Tensor:
    """Data as (observations, features) in float64 on the CPU; of large data every n-th example."""
    step = max(-(-data.numel() // MOST_NUMBERS), 1)
    data = data.detach()
    data = (data.unsqueeze(0) if data.dim() == 1 else data).movedim(axis, -1)[::step]
    return data.reshape(-1, data.shape[-1]).to("cpu", torch.float64)


@dataclass
class Sums:
    """Sums over the rows that have entered at one weight."""

    weight: torch.Tensor  # kept, so that its identity stays its own
    rows: int = 0
    total: Any = 0.0
    squares: Any = 0.0
    products: Any = None

    def add(self, table: torch.Tensor, together: bool) -> None:
        """Count in the rows of (observations, features), with their products if ``together``."""
        if self.rows and self.total.shape != table.shape[1:]:
            return
        self.rows += len(table)
        self.total = self.total + table.sum(0)
        self.squares = self.squares + table.square().sum(0)
        if together and table.shape[1] <= SECOND_MOMENT_FEATURES:
            product = table.T @ table
            self.products = product if self.products is None else self.products + product

    def arrays(self, at: int) -> dict[str, Any]:
        """Count, mean, deviation and second moments."""
        mean = self.total / self.rows
        spread = (self.squares / self.rows - mean.square()).clamp_min(0).sqrt()
        found = {f"mean{at}": mean.numpy(), f"std{at}": spread.numpy()}
        if self.products is not None:
            found[f"second{at}"] = (self.products / self.rows).numpy()
        return found | {f"count{at}": np.array(self.rows)}


class Moments:
    """The moments of what enters during training, by the weight that it meets."""

    def __init__(self) -> None:
        self._sums: dict[int, Sums] = {}

    def look(self, call: Call) -> None:
        """Count the data of this call in."""
        entrance = entrance_of(call) if torch.is_grad_enabled() else None
        if entrance is None:
            return
        sums = self._sums.setdefault(id(entrance.weight), Sums(entrance.weight))
        if sums.rows < MOMENT_ROWS:
            table = features_last(entrance.data, entrance.axis)
            sums.add(table, together=not entrance.channels)

    def write(self, path: Path) -> None:
        """``mean0, std0, count0`` (and ``second0``), ``mean1 ...`` as NumPy's archive."""
        arrays: dict[str, Any] = {}
        for at, sums in enumerate(self._sums.values()):
            arrays |= sums.arrays(at)
        np.savez(path, **arrays)
