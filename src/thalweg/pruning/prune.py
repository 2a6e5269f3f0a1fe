"""Prune a model: remove the weights that the loss misses least, and let the others make up for it.

    from thalweg.pruning import prune

    pruned = prune(model, 0.8, data=(inputs, targets))
    pruned.sparsity                   # 0.8
    torch.save(pruned.make_permanent().state_dict(), "sparse.pt")

| method | saliency of a weight | for |
|---|---|---|
| magnitude | w^2 | comparison |
| brain-damage | h w^2 / 2, h of the diagonal | any size; nothing is compensated |
| brain-surgeon | w^2 / (2 [H^-1]_qq), H of the whole network | up to 8,000 parameters |
| kronecker | the same, H in Kronecker factors | layers of thousands of inputs and outputs |
| optimal-compression | the same, H of each layer's inputs, exact in each row | hundreds of inputs |
| sparse-gpt | the same, one sweep over the columns | any size |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import nn

from thalweg.pruning.layers import layers_of, masked, released
from thalweg.pruning.layerwise import by_optimal_compression, by_sparse_gpt
from thalweg.pruning.network import by_brain_damage, by_brain_surgeon, by_kronecker, by_magnitude
from thalweg.pruning.outputs import own_outputs
from thalweg.pruning.pattern import Pattern
from thalweg.pruning.pruned import Pruned
from thalweg.pruning.schedule import cubic
from thalweg.pruning.task import Change, Curvature, Loss, Method, Scope, Task

MethodName = Literal[
    "magnitude",
    "brain-damage",
    "brain-surgeon",
    "kronecker",
    "optimal-compression",
    "sparse-gpt",
]
METHODS: dict[str, Method] = {
    "magnitude": by_magnitude,
    "brain-damage": by_brain_damage,
    "brain-surgeon": by_brain_surgeon,
    "kronecker": by_kronecker,
    "optimal-compression": by_optimal_compression,
    "sparse-gpt": by_sparse_gpt,
}
OF_CURVATURE = {"brain-damage", "brain-surgeon", "kronecker"}
OF_LAYERS = {"optimal-compression", "sparse-gpt"}
ROUNDS = {"brain-surgeon": 10, "kronecker": 10}


def prune(
    model: nn.Module,
    sparsity: float | None = None,
    method: MethodName = "brain-surgeon",
    *,
    loss: Loss | None = None,
    data: Any = None,
    pattern: str | tuple[int, int] = "unstructured",
    scope: Scope | None = None,
    layers: Iterable[str] | None = None,
    compensate: bool = True,
    rounds: int | None = None,
    damping: float = 0.01,
    curvature: Curvature = "gauss-newton",
    products: int = 2000,
    fine_tune: Callable[[nn.Module], object] | None = None,
) -> Pruned:
    """Remove weights of linear layers and convolutions, in place.

    Args:
        model: in the mode (train or eval) in which it is to be judged. Its weights are masked
            through `torch.nn.utils.prune`; masks that it has already stay, and count.
        sparsity: the share of zeros in the layers' weights, in [0, 1); an n:m pattern has its own.
        method: see the module.
        loss: from the model's output and the targets to a scalar, whose curvature brain-damage,
            brain-surgeon and kronecker take. None: the mean squared distance from the model's
            outputs as they are, which is at its minimum whatever the training came to.
        data: one batch (inputs, targets), or a list or `DataLoader` of batches. Needed by all but
            magnitude; targets count only with `loss`.
        pattern: "unstructured", "n:m" such as "2:4" (n of every m weights of a row are kept), or
            the rows and columns of blocks; rows and columns are those of the weight as a matrix,
            (out, in x kernel).
        scope: "network" seeks the least salient weights everywhere, "layer" gives each layer the
            sparsity. None: "network", and "layer" for optimal-compression and sparse-gpt, whose
            layers cannot be compared.
        layers: paths of the modules to prune; None: all that train and that the pattern fits.
        compensate: whether the remaining weights make up for what goes; magnitude and brain-damage
            know of nothing to make up for.
        rounds: in how many, after each of which the curvature is taken anew, by the cubic schedule.
            None: 10 for brain-surgeon and kronecker, else 1; with `fine_tune` at least 10.
        damping: added to the diagonal of H, as a share of its mean entry.
        curvature: "gauss-newton", or "hessian", of which brain-surgeon takes the absolute values
            of the eigenvalues, for brain-damage and brain-surgeon.
        products: with H, for brain-damage: its diagonal is exact up to as many weights.
        fine_tune: called with the masked model after every round; it may train it.

    Returns:
        What was pruned; `Pruned.make_permanent` takes the masks off and leaves the zeros.

    Raises:
        TypeError, ValueError: an argument is missing or cannot be; the message says which, and
            what to give instead.

    Sources are in the methods' modules.
    """
    form = Pattern.of(pattern)
    goal = wanted(sparsity, form)
    check(method, data, scope, curvature, damping, rounds)
    found = layers_of(model, layers, form)
    kept = {
        one.path: torch.ones(one.shape, dtype=torch.bool, device=one.module.weight.device)
        if one.mask is None
        else one.mask
        for one in found
    }
    keeps_outputs = loss is None and method in OF_CURVATURE
    if keeps_outputs:
        loss, data = nn.MSELoss(), own_outputs(model, data)
    task = Task(
        model,
        found,
        kept,
        form,
        scope or ("layer" if method in OF_LAYERS else "network"),
        loss,
        data,
        damping,
        compensate,
        curvature,
        products,
        keeps_outputs,
    )
    least = 1 if fine_tune is None else 10
    count = max(least, ROUNDS.get(method, 1)) if rounds is None else rounds
    for share in cubic(1 - share_kept(task), goal, count):
        one_round(task, METHODS[method], share, fine_tune)
    left_out = layers_left_out(model, {one.path for one in found})
    return Pruned(
        model,
        method,
        str(form),
        {path: int((~mask).sum()) for path, mask in task.kept.items()},
        {path: mask.numel() for path, mask in task.kept.items()},
        left_out,
    )


def one_round(
    task: Task, method: Method, sparsity: float, fine_tune: Callable[[nn.Module], object] | None
) -> None:
    """Prune to a sparsity, and leave the model masked."""
    released(task.layers)
    if sparsity > 1 - share_kept(task):
        apply(task, method(task, sparsity))
    masked(task.layers, task.kept)
    if fine_tune is not None:
        fine_tune(task.model)


def apply(task: Task, change: Change) -> None:
    """Write the new values, and remember what is gone."""
    params = dict(task.model.named_parameters())
    with torch.no_grad():
        for name, value in change.values.items():
            params[name].copy_(value)
        for layer in task.layers:
            kept = task.kept[layer.path] & ~change.removed[layer.path]
            task.kept[layer.path] = kept
            layer.module.weight.mul_(kept.reshape(layer.module.weight.shape))


def share_kept(task: Task) -> float:
    """Of the layers' weights."""
    masks = task.kept.values()
    return sum(int(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks)


def layers_left_out(model: nn.Module, pruned: set[str]) -> tuple[str, ...]:
    """The paths of the layers that could be pruned and were not."""
    every = layers_of(model, None, Pattern())
    return tuple(one.path for one in every if one.path not in pruned)


def wanted(sparsity: float | None, pattern: Pattern) -> float:
    """The share of zeros.

    Raises:
        ValueError: it is missing, out of [0, 1), or another one than the pattern's.
    """
    own = pattern.sparsity
    if own is not None and sparsity in (None, float(own)):
        return float(own)
    if own is not None:
        raise ValueError(
            f"prune(sparsity={sparsity}, pattern={str(pattern)!r}): {pattern} is a sparsity of "
            f"{float(own):g}; leave it out, or choose another pattern."
        )
    if sparsity is None or not 0 <= sparsity < 1:
        raise ValueError(f"prune(sparsity={sparsity}): give the share of zeros, in [0, 1).")
    return float(sparsity)


def check(
    method: str,
    data: Any,
    scope: str | None,
    curvature: str,
    damping: float,
    rounds: int | None,
) -> None:
    """Raise ValueError on an argument that is missing or cannot be."""
    if method not in METHODS:
        raise ValueError(f"prune(method={method!r}): choose one of {', '.join(METHODS)}.")
    if method != "magnitude" and data is None:
        raise ValueError(f"prune(method={method!r}): give data=, one batch (inputs, targets).")
    if scope not in (None, "network", "layer"):
        raise ValueError(f'prune(scope={scope!r}): choose "network" or "layer".')
    if scope == "network" and method in OF_LAYERS:
        raise ValueError(
            f'prune(method={method!r}, scope="network"): it measures each layer by its own '
            'outputs, which cannot be compared; take scope="layer", or another method.'
        )
    if curvature not in ("gauss-newton", "hessian"):
        raise ValueError(f'prune(curvature={curvature!r}): choose "gauss-newton" or "hessian".')
    if not 0 < damping < float("inf"):
        raise ValueError(f"prune(damping={damping}): give a positive share, such as 0.01.")
    if rounds is not None and rounds < 1:
        raise ValueError(f"prune(rounds={rounds}): give at least 1.")
