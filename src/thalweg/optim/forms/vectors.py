"""Seeing parameters and their state as vectors: large ones where they stand, small ones joined.

On a small tensor a call costs more than the arithmetic, so small tensors are joined end to end.
State is started joined: each parameter's part is a view of one longer tensor, and nothing need be
copied at a step. Parameters, and state that came from elsewhere, are copied in and out.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor

# Tensors below this many elements are joined: a call then costs more than copying them.
JOIN = 1 << 13
JOINED = 1 << 16  # elements, at most, that are joined into one vector

Columns = Sequence[list[Tensor] | None]


@dataclass
class Vector:
    """What one call advances."""

    at: list[int]  # the parameters, by their place in the lane
    sources: list[Tensor]  # p and the slots that are filled, before the step
    targets: list[Tensor | None]  # p and the slots, after it
    loads: list[tuple[Tensor, list[Tensor]]]  # before the step: a joined copy, and of what
    stores: list[tuple[list[Tensor], list[Tensor]]]  # after it: to where, and from what

    def loaded(self, gradients: list[Tensor]) -> tuple[list[Tensor], list[Tensor | None]]:
        """What a program is given, and where it is to write, with this step's values in place."""
        for copy, parts in self.loads:
            torch.cat(parts, out=copy)
        return [self.sources[0], self._gradient(gradients), *self.sources[1:]], self.targets

    def store(self) -> None:
        """Hand out what was written to copies."""
        for parts, results in self.stores:
            torch._foreach_copy_(parts, results)

    def _gradient(self, gradients: list[Tensor]) -> Tensor:
        """The gradients of its parameters as one vector."""
        if len(self.at) == 1:
            return flat(gradients[self.at[0]])
        own = [gradients[index] for index in self.at]
        if all(map(Tensor.is_contiguous, own)):
            return torch._C._nn.flatten_dense_tensors(own)
        return torch.cat(list(map(flat, own)))


def vectors(sources: Columns, targets: Columns) -> Iterator[Vector]:
    """All columns as vectors.

    Args:
        sources: p and the slots before the step, each with an entry for each parameter; None for
            a slot that is filled for the first time or not kept.
        targets: the same after the step; None for a slot that is not kept.
    """
    sizes = [p.numel() for p in targets[0] or ()]
    for at in (*([i] for i, size in enumerate(sizes) if size >= JOIN), *_clusters(sizes)):
        vector = Vector(at, [], [], [], [])
        for source, target in zip(sources, targets, strict=True):
            _add(vector, source is not None, target and [flat(target[i]) for i in at])
        yield vector


def _add(vector: Vector, filled: bool, parts: list[Tensor] | None) -> None:
    """Let a vector have what it needs of one column."""
    if parts is None:
        vector.targets.append(None)
        return
    whole = as_one(parts)
    if whole is None:
        whole = parts[0].new_empty(sum(x.numel() for x in parts))
        if filled:
            vector.loads.append((whole, parts))
        vector.stores.append((parts, list(torch.split(whole, [x.numel() for x in parts]))))
    vector.targets.append(whole)
    if filled:
        vector.sources.append(whole)


def as_one(parts: list[Tensor]) -> Tensor | None:
    """Parts that stand one after the other in memory as the one vector that they are."""
    first, size = parts[0], parts[0].element_size()
    memory = first.untyped_storage().data_ptr()
    for one, next_one in pairwise(parts):
        end = one.data_ptr() + one.numel() * size
        if next_one.data_ptr() != end or next_one.untyped_storage().data_ptr() != memory:
            return None
    total = sum(x.numel() for x in parts)
    return first if len(parts) == 1 else first.as_strided((total,), (1,))


def stand_together(
    started: Sequence[tuple[Tensor, str]], state: MutableMapping[Any, dict[str, Any]]
) -> None:
    """Move small state that was just started, and that nobody else holds, into one tensor a slot.

    Args:
        started: parameters with the name of the state.
        state: maps parameters to their state; its entries become views.
    """
    heaps: dict[Any, list[Tensor]] = {}
    for p, name in started:
        value = state[p][name]
        small = value.dim() == 0 or (0 < p.numel() < JOIN and _alike(p, value))
        if type(value) is Tensor and small:
            heaps.setdefault((name, value.dtype, value.device), []).append(p)
    for (name, *_), params in heaps.items():
        values = [state[p][name] for p in params]
        whole = torch.cat(list(map(flat, values)))
        starts = accumulate((x.numel() for x in values), initial=0)
        for p, x, start in zip(params, values, starts, strict=False):
            state[p][name] = whole.as_strided(x.shape, x.stride(), start)


def _alike(p: Tensor, value: Tensor) -> bool:
    same = value.dtype == p.dtype and value.shape == p.shape and not value.is_complex()
    return same and value.permute(order(value)).is_contiguous()


def real(x: Any) -> Any:
    """A complex tensor as pairs of reals, which is how every rule treats it."""
    return torch.view_as_real(x) if x is not None and x.is_complex() else x


def order(x: Tensor) -> list[int]:
    """The dimensions of a tensor from the slowest in memory to the fastest."""
    return sorted(range(x.dim()), key=x.stride().__getitem__, reverse=True)


def flat(x: Tensor) -> Tensor:
    """A tensor without gaps as a vector, in the order of memory."""
    if x.is_contiguous():
        return x if x.dim() == 1 else x.view(-1)
    return x.permute(order(x)).view(-1)


def _clusters(sizes: list[int]) -> Iterator[list[int]]:
    """Indices of small tensors, gathered until a vector is full."""
    cluster: list[int] = []
    total = 0
    for index, size in enumerate(sizes):
        if 0 < size < JOIN:
            if total + size > JOINED:
                yield cluster
                cluster, total = [], 0
            cluster.append(index)
            total += size
    if cluster:
        yield cluster
