"""Methods that look at the network as a whole: one vector of parameters, one curvature matrix.

The surgeon supposes a minimum, where the gradient is zero. Once some weights are gone it is not.
Where the network's own outputs are to be kept, later rounds of the whole matrix therefore start
from the minimum of the quadratic, v = w - H^-1 g, instead of the weights w: they also mend what the
earlier ones have left. Kronecker factors know nothing between layers, and their step may overshoot.
With a loss of the user's that would be to train on, by Newton's method without a line search.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from thalweg.linalg import diagonal
from thalweg.operators import GaussNewton, Hessian, Kronecker, Layout, ParameterOperator
from thalweg.operators.model_loss import trainable_parameters
from thalweg.pruning import brain_damage, magnitude
from thalweg.pruning.brain_surgeon import eliminate
from thalweg.pruning.compensation import compensated
from thalweg.pruning.task import Change, Loss, Task
from thalweg.pruning.units import Units, removed_weights, smallest, summed

LARGEST = 8000  # parameters whose curvature is written down: half a GiB, and inverted


def by_magnitude(task: Task, sparsity: float) -> Change:
    """The smallest weights."""
    params = weights_of(task)
    layout = Layout.of(params)
    scores = magnitude.saliencies(layout.flatten(params))
    return chosen(task, layout, scores, sparsity)


def by_brain_damage(task: Task, sparsity: float) -> Change:
    """The smallest h w^2 / 2."""
    params = weights_of(task)
    with matrix(task, params) as operator:
        found = diagonal(operator, products=task.products)
        scores = brain_damage.saliencies(operator.layout.flatten(params), found.values)
        return chosen(task, operator.layout, scores, sparsity)


def by_kronecker(task: Task, sparsity: float) -> Change:
    """The smallest w^2 / (2 [H^-1]_qq) for Kronecker factors H; one system for what remains."""
    params = trainable_parameters(task.model)
    with Kronecker.of_model(task.model, loss_of(task), task.data) as operator:
        damping = damping_of(task, operator.exact_diagonal())
        place = operator.layout.flatten({name: p.detach() for name, p in params.items()})
        inverse = operator.inverse(damping)
        scores = place.square() / (2 * inverse.exact_diagonal())
        change = chosen(task, operator.layout, scores, sparsity)
        if not task.compensate:
            return change
        gone = flat_mask(operator.layout, all_removed(task, change))
        values = compensated(operator, place, gone, damping)
        return Change(operator.layout.unflatten(values), change.removed)


def by_brain_surgeon(task: Task, sparsity: float) -> Change:
    """One weight, or block, at a time, by the inverse of the whole matrix."""
    params = trainable_parameters(task.model)
    check_size(params)
    with matrix(task, params) as operator:
        layout, dense = operator.layout, operator.to_dense().double()
        gradient = operator.gradient.double()
    dense = (dense + dense.T) / 2
    place = layout.flatten({name: p.detach() for name, p in params.items()}).double()
    damping = damping_of(task, dense.diagonal().clamp(min=0))
    units = live(task, layout, sparsity)
    order = columns_first(units, flat_mask(layout, removed_before(task)))
    invert = inverted if task.curvature == "hessian" else inverted_definite
    inverse = invert(dense[order][:, order], damping)
    if task.keeps_outputs and task.compensate:
        place = place.index_add(0, order, -(inverse @ gradient[order]))
    found = eliminate(
        place[order].reshape(1, 1, -1),
        inverse.unsqueeze(0),
        units.group,
        units.quotas,
        width=units.members.shape[1],
        compensate=task.compensate,
    )
    values = torch.zeros_like(place).index_copy(0, order, found.weights[0, 0])
    went = torch.zeros(len(units.group), dtype=torch.bool, device=place.device)
    went[found.order[0]] = True
    gone = removed_weights(went, units, layout.size)
    return Change(layout.unflatten(values.to(layout.dtype)), as_matrices(task, layout, gone))


def weights_of(task: Task) -> dict[str, Tensor]:
    """The weights of the layers to prune."""
    return {layer.weight: layer.module.weight.detach() for layer in task.layers}


def matrix(task: Task, params: Mapping[str, Tensor]) -> ParameterOperator:
    """The curvature in these parameters."""
    loss = loss_of(task)
    if task.curvature == "hessian":
        return Hessian.of_model(task.model, loss, task.data, params=list(params))
    return GaussNewton.of_model(task.model, loss, task.data, params=list(params))


def loss_of(task: Task) -> Loss:
    """The task's loss.

    Raises:
        ValueError: it has none.
    """
    if task.loss is None:
        raise ValueError("this method needs loss=, from the model's output and the targets to it.")
    return task.loss


def damping_of(task: Task, entries: Tensor) -> float:
    """The share of the mean diagonal entry."""
    mean = float(entries.double().mean())
    return max(task.damping * mean, torch.finfo(entries.dtype).tiny)


def inverted(dense: Tensor, damping: float) -> Tensor:
    """(H + damping I)^-1, the absolute values of H's eigenvalues taken.

    A Hessian away from a minimum has negative ones, along which the quadratic has no minimum; what
    lies along them is as costly to change as along positive ones of the size.
    """
    values, vectors = torch.linalg.eigh(dense)
    inverse: Tensor = (vectors / (values.abs() + damping)) @ vectors.T
    return inverse


def inverted_definite(dense: Tensor, damping: float) -> Tensor:
    """(H + damping I)^-1 of a positive semidefinite H, at a fifth of the cost."""
    damped = dense + damping * torch.eye(len(dense), dtype=dense.dtype, device=dense.device)
    return torch.cholesky_inverse(torch.linalg.cholesky(damped))


def chosen(task: Task, layout: Layout, scores: Tensor, sparsity: float) -> Change:
    """The units with the smallest sums of their weights' scores; no other weight changes."""
    units = live(task, layout, sparsity)
    gone = removed_weights(smallest(summed(scores, units), units), units, layout.size)
    return Change({}, as_matrices(task, layout, gone))


def live(task: Task, layout: Layout, sparsity: float) -> Units:
    """The units that are not gone yet, with what is still to go of each group."""
    every = units_of(task, layout, sparsity)
    gone = flat_mask(layout, removed_before(task))[every.members].all(1)
    done = every.group[gone].bincount(minlength=len(every.quotas))
    quotas = (every.quotas - done).clamp(min=0)
    return Units(every.members[~gone], every.group[~gone], quotas)


def units_of(task: Task, layout: Layout, sparsity: float) -> Units:
    """All units of the layers in the flat vector, with the quotas that a sparsity means."""
    offsets = starts(layout)
    members, groups, before = [], [], 0
    for number, layer in enumerate(task.layers):
        found = task.pattern.members(*layer.shape) + offsets[layer.weight]
        group = torch.zeros(len(found), dtype=torch.int64)
        if task.pattern.keep:
            group = task.pattern.neighbours(*layer.shape) + before
        elif task.scope == "layer":
            group = group + number
        before = int(group[-1]) + 1
        members.append(found)
        groups.append(group)
    group = torch.cat(groups)
    quotas = [round(sparsity * size) for size in group.bincount().tolist()]
    parts = torch.cat(members), group, torch.tensor(quotas)
    return Units(*(part.to(layout.device) for part in parts))


def starts(layout: Layout) -> dict[str, int]:
    """Where each parameter begins in the flat vector."""
    found, at = {}, 0
    for name, shape in zip(layout.names, layout.shapes, strict=True):
        found[name] = at
        at += shape.numel()
    return found


def removed_before(task: Task) -> dict[str, Tensor]:
    """What is gone already, by the layers' weights."""
    return {layer.weight: ~task.kept[layer.path] for layer in task.layers}


def all_removed(task: Task, change: Change) -> dict[str, Tensor]:
    """What is gone after a change, by the layers' weights."""
    before = removed_before(task)
    return {one.weight: before[one.weight] | change.removed[one.path] for one in task.layers}


def flat_mask(layout: Layout, removed: Mapping[str, Tensor]) -> Tensor:
    """Whether each number of the flat vector is removed, shape (n,)."""
    parts = [
        removed[name].reshape(-1).to(layout.device)
        if name in removed
        else torch.zeros(shape.numel(), dtype=torch.bool, device=layout.device)
        for name, shape in zip(layout.names, layout.shapes, strict=True)
    ]
    return torch.cat(parts)


def as_matrices(task: Task, layout: Layout, gone: Tensor) -> dict[str, Tensor]:
    """A flat mask as matrices by the layers' paths."""
    offsets = starts(layout)
    found = {}
    for layer in task.layers:
        at = offsets[layer.weight]
        rows, columns = layer.shape
        found[layer.path] = gone[at : at + rows * columns].reshape(rows, columns)
    return found


def columns_first(units: Units, gone: Tensor) -> Tensor:
    """Numbers of the flat vector: those of units, one after the other, then the others that live.

    A weight that is gone in a unit that is not comes with its unit.
    """
    inside = units.members.reshape(-1)
    others = ~gone
    others[inside] = False
    return torch.cat([inside, others.nonzero().squeeze(1)])


def check_size(params: Mapping[str, Tensor]) -> None:
    """Refuse a matrix that would not fit.

    Raises:
        ValueError: there are too many parameters.
    """
    size = sum(p.numel() for p in params.values())
    if size > LARGEST:
        raise ValueError(
            f'prune(method="brain-surgeon"): the model has {size:,} parameters, and this method '
            f"writes down the inverse of their Hessian: {LARGEST:,} at the most. Take "
            'method="kronecker", "optimal-compression" or "sparse-gpt".'
        )
