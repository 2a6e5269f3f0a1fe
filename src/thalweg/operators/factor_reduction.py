"""Factors of a loss whose data is spread over processes: the sums of the ranks' sums.

Unlike products of other operators, those with factors need no communication afterwards: the sums
are made once, and every rank then holds the same blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch.distributed as dist
from torch import Tensor

from thalweg.operators.block_sums import FactorSum, Sum
from thalweg.operators.distributed import Group, total


def sum_over_ranks(tensors: Iterable[Tensor], group: Group | None) -> None:
    """Replace each tensor by its sum over the ranks, all of which pass theirs in the same order."""
    if group is not None:
        for tensor in tensors:
            dist.all_reduce(tensor, group=group)


def add_ranks(sums: Mapping[tuple[str, ...], Sum], group: Group | None) -> None:
    """Replace each block's sums by those of all ranks.

    Raises:
        ValueError: the ranks have different blocks; raised on all of them.
    """
    if group is None:
        return
    own = {names: (one.plan.form, *(x.shape for x in one.tensors)) for names, one in sums.items()}
    said: list[object] = [None] * dist.get_world_size(group)
    dist.all_gather_object(said, own, group)
    if any(other != own for other in said):
        raise ValueError(
            "the ranks' batches use the model's parameters in different ways, so their factors "
            "cannot be added. Take their data on one rank."
        )
    for _, one in sorted(sums.items()):
        sum_over_ranks(one.tensors, group)
        if isinstance(one, FactorSum):
            one.positions = int(total(one.positions, group))
