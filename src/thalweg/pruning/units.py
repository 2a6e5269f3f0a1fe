"""What goes together, and how much of it: units of weights, in groups with quotas.

A unit is the least that can be removed: one weight, or all weights of a block. Every pattern and
every scope is a way to put units into groups, of each of which a given number is removed:

| pattern, scope | units | groups | quota of each |
|---|---|---|---|
| unstructured, whole network | weights | one | sparsity x weights |
| unstructured, layer by layer | weights | layers | sparsity x weights |
| n:m | weights | m neighbours in a row of a layer's matrix | m - n |
| blocks (r, c) | tiles of the matrix | as unstructured | sparsity x tiles |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor


@final
@dataclass(frozen=True)
class Units:
    """Units of equal size, over weights numbered from 0.

    Attributes:
        members: the numbers of each unit's weights, shape (units, size).
        group: the group of each unit, shape (units,).
        quotas: how many units of each group are to be removed, shape (groups,).
    """

    members: Tensor
    group: Tensor
    quotas: Tensor


def smallest(scores: Tensor, units: Units) -> Tensor:
    """In each group, the quota of units with the smallest scores.

    Args:
        scores: of each unit, shape (units,). Of equal ones those that come first are taken.
        units: the units.

    Returns:
        Whether each unit is removed, shape (units,).
    """
    by_score = scores.argsort(stable=True)
    order = by_score[units.group[by_score].argsort(stable=True)]
    sizes = units.group.bincount(minlength=len(units.quotas))
    starts = sizes.cumsum(0) - sizes
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device) - starts[units.group[order]]
    return rank < units.quotas[units.group]


def summed(saliencies: Tensor, units: Units) -> Tensor:
    """The saliency of each unit as the sum of its weights', shape (units,)."""
    return saliencies[units.members].sum(1)


def removed_weights(removed: Tensor, units: Units, size: int) -> Tensor:
    """Whether each of `size` weights is removed, shape (size,), from that of each unit."""
    gone = torch.zeros(size, dtype=torch.bool, device=removed.device)
    gone[units.members[removed].reshape(-1)] = True
    return gone
