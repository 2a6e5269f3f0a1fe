r"""The curvature that a layer's own inputs give: H = 2 X X' / N.

The mean square of what changes in the layer's outputs is quadratic in its weights, with this
Hessian for every row. A convolution's inputs are the patches that its kernel sees at every place; a
bias is a weight whose input is 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.operators.batches import Batches
from thalweg.operators.layer_uses import broadcast, margins_of, patches
from thalweg.operators.model_loss import FrozenModel
from thalweg.pruning.layers import Layer


def input_hessian(model: nn.Module, layer: Layer, data: Any) -> Tensor:
    """2 X X' / N of a layer, float64, shape (groups, q, q); the last column is the bias's.

    Args:
        model: run in the mode it is in, without gradients; left as it is.
        layer: one of its own.
        data: as the operators take it: one batch (inputs, targets), or several.

    Raises:
        ValueError: the model never calls the layer on this data, or the inputs are not finite.
    """
    seen = Gram(layer)
    frozen = FrozenModel(model)
    with torch.no_grad(), seen.watching():
        for stream, (batch, _, _) in enumerate(Batches(data)):
            with frozen.restarted(stream) as call:
                call({}, batch.inputs)
    if not seen.count:
        raise ValueError(f"layer {layer.path!r} is not called on the data; leave it out.")
    if not torch.isfinite(seen.total).all():
        raise ValueError(f"layer {layer.path!r} has inputs that are not finite on the data.")
    return 2 * seen.total / seen.count


class Gram:
    """X X' of a layer's inputs, summed while they are watched.

    Attributes:
        total: shape (groups, q, q).
        count: N, positions of all batches.
    """

    def __init__(self, layer: Layer) -> None:
        self.total, self.count = torch.zeros(()), 0
        self._module = layer.module

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Inside, what enters the layer counts."""
        handle = self._module.register_forward_pre_hook(self._add)
        try:
            yield
        finally:
            handle.remove()

    def _add(self, module: nn.Module, given: tuple[Any, ...]) -> None:
        rows = inputs_of(self._module, given[0].detach()).double()
        if self._module.bias is not None:
            rows = torch.cat([rows, rows.new_ones(*rows.shape[:-1], 1)], -1)
        self.total = self.total.to(rows.device) + rows.mT @ rows
        self.count += rows.shape[1]


def inputs_of(module: nn.Module, x: Tensor) -> Tensor:
    """What each row of a layer's matrix is multiplied with, shape (groups, N, q)."""
    if isinstance(module, nn.Linear):
        return x.reshape(1, -1, x.shape[-1])
    if not isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        raise TypeError(f"{type(module).__name__}: linear layers and convolutions only.")
    places = module.weight.dim() - 2
    x = x if x.dim() == places + 2 else x.unsqueeze(0)
    gaps, kernel = broadcast(module.dilation, places), tuple(module.weight.shape[2:])
    margins, x = edges(module, x, margins_of(module.padding, kernel, gaps))
    steps = broadcast(module.stride, places)
    seen = patches(x, kernel, steps, margins, gaps, module.groups)
    return seen.permute(2, 0, 1, 3).flatten(1, 2)


def edges(
    module: nn.Conv1d | nn.Conv2d | nn.Conv3d, x: Tensor, margins: list[int]
) -> tuple[list[int], Tensor]:
    """The margins that are still zeros, and x with those that are padded otherwise."""
    if module.padding_mode == "zeros":
        return margins, x
    return [0] * len(margins), torch.nn.functional.pad(x, margins, module.padding_mode)
