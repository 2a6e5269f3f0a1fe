"""Advancing a lane as vectors: large parameters where they stand, small ones joined end to end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from thalweg.optim.forms.blocks import Advance
from thalweg.optim.forms.lanes import Lane, row
from thalweg.optim.forms.program import Program, record

# Makes a program with its numbers and 0-d tensors into what advances a vector.
Prepare = Callable[[Program, list[float], list[Tensor]], Advance]


def joined(
    formula: Callable[..., Any], lane: Lane, hyper: dict[str, Any], prepare: Prepare
) -> None:
    """Advance the lane's vectors: large ones where they stand, small ones joined end to end."""
    program, numbers, scalars = record(formula, [c is not None for c in lane.inputs], hyper)
    advance = prepare(program, numbers, scalars)
    inputs = [column for column in lane.inputs if column is not None]
    for index in lane.large:
        advance([column[index] for column in inputs], row(lane.targets, index))
    for cluster in lane.clusters:
        sources = [torch.cat([column[i] for i in cluster]) for column in inputs]
        targets = [
            None if t is None else torch.empty_like(sources[0]) if place is None else sources[place]
            for t, place in zip(lane.targets, program.places, strict=True)
        ]
        advance(sources, targets)
        for result, column in zip(targets, lane.targets, strict=True):
            if result is not None and column is not None:
                places = [column[i] for i in cluster]
                sizes = [x.numel() for x in places]
                torch._foreach_copy_(places, torch.split(result, sizes))
