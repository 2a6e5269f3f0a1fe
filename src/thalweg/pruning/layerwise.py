"""Methods that keep what each layer computes from its inputs, one layer after the other.

The inputs of a layer are those that it gets once the layers before it are pruned. It keeps what it
computes of these, and does not make up for what the layers before have lost.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from thalweg.pruning import optimal_compression, sparse_gpt
from thalweg.pruning.layer_inputs import input_hessian
from thalweg.pruning.layers import Layer
from thalweg.pruning.task import Change, Task

Compressed = tuple[Tensor, Tensor]


def by_optimal_compression(task: Task, sparsity: float) -> Change:
    """The exact surgeon for every row."""
    return in_turn(task, optimal_compression.compress, sparsity)


def by_sparse_gpt(task: Task, sparsity: float) -> Change:
    """One sweep over the columns for all rows."""
    return in_turn(task, sparse_gpt.compress, sparsity)


def in_turn(task: Task, compress: Callable[..., Compressed], sparsity: float) -> Change:
    """Each layer in the model's order; the model itself is left as it is."""
    before = {layer.path: parameters(layer) for layer in task.layers}
    values: dict[str, Tensor] = {}
    removed: dict[str, Tensor] = {}
    try:
        for layer in task.layers:
            new, gone = one_layer(task, layer, partial(compress, sparsity=sparsity))
            removed[layer.path] = gone
            values |= {f"{layer.path}.{name}".removeprefix("."): x for name, x in new.items()}
            write(layer.module, new)
    finally:
        for layer in task.layers:
            write(layer.module, before[layer.path])
    return Change(values, removed)


def one_layer(
    task: Task, layer: Layer, compress: Callable[..., Compressed]
) -> tuple[dict[str, Tensor], Tensor]:
    """A layer's new weight and bias, and which of its weights go."""
    hessian = regular(input_hessian(task.model, layer, task.data), task.damping)
    columns = layer.shape[1]
    joined = matrix_of(layer).chunk(layer.groups)
    found = [
        compress(w, h, task.pattern, compensate=task.compensate, columns=columns)
        for w, h in zip(joined, hessian, strict=True)
    ]
    weights = torch.cat([new for new, _ in found])
    gone = torch.cat([removed[:, :columns] for _, removed in found])
    weights[:, :columns] *= task.kept[layer.path] & ~gone
    return taken_apart(layer, weights), gone


def regular(hessian: Tensor, damping: float) -> Tensor:
    """Each group's H with a share of its mean diagonal entry on the diagonal."""
    mean = hessian.diagonal(dim1=1, dim2=2).mean(1).clamp(min=torch.finfo(hessian.dtype).tiny)
    eye = torch.eye(hessian.shape[-1], dtype=hessian.dtype, device=hessian.device)
    return hessian + damping * mean[:, None, None] * eye


def matrix_of(layer: Layer) -> Tensor:
    """Weight and bias as one matrix in float64, shape (rows, columns or columns + 1)."""
    weight = layer.module.weight.detach().reshape(layer.shape).double()
    if layer.module.bias is None:
        return weight
    return torch.cat([weight, layer.module.bias.detach().double().unsqueeze(1)], 1)


def taken_apart(layer: Layer, joined: Tensor) -> dict[str, Tensor]:
    """Weight and bias of a joined matrix, in their own shapes and precision."""
    weight, columns = layer.module.weight, layer.shape[1]
    found = {"weight": joined[:, :columns].reshape(weight.shape).to(weight.dtype)}
    if layer.module.bias is not None:
        found["bias"] = joined[:, columns].to(layer.module.bias.dtype)
    return found


def parameters(layer: Layer) -> dict[str, Tensor]:
    """Copies of a layer's own parameters."""
    return {name: p.detach().clone() for name, p in layer.module.named_parameters(recurse=False)}


def write(module: nn.Module, values: dict[str, Tensor]) -> None:
    """Put values into a layer's parameters."""
    own = dict(module.named_parameters(recurse=False))
    with torch.no_grad():
        for name, value in values.items():
            own[name].copy_(value)
