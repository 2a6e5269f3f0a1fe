"""Advancing a lane as vectors: large parameters where they stand, small ones joined end to end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from thalweg.optim.forms.blocks import Advance
from thalweg.optim.forms.lanes import Lane, row
from thalweg.optim.forms.program import Program

# From what is present and the hyperparameters to a program, its numbers and its 0-d tensors.
Script = Callable[
    [Sequence[bool], Mapping[str, Any]], tuple[Program, Sequence[float], Sequence[Tensor]]
]

# A program of so few operations costs less one parameter at a time than it costs to join them.
BRIEF = 2


def joined(
    script: Script, lane: Lane, hyper: dict[str, Any], prepare: Callable[[Program], Advance]
) -> None:
    """Advance the lane's vectors: large ones where they stand, small ones joined end to end.

    Args:
        script: of the formula.
        lane: whose columns are vectors.
        hyper: all that the formula takes besides tensors.
        prepare: makes a program into the function that advances a vector.
    """
    program, numbers, scalars = script([c is not None for c in lane.inputs], hyper)
    advance = prepare(program)
    inputs = [column for column in lane.inputs if column is not None]
    brief = len(program.operations) <= BRIEF
    for index in lane.occupied if brief else lane.large:
        sources = [column[index] for column in inputs]
        advance(sources, row(lane.targets, index), numbers, scalars)
    for cluster in () if brief else lane.clusters:
        sources = [torch.cat([column[i] for i in cluster]) for column in inputs]
        targets = _targets(program, lane, sources)
        advance(sources, targets, numbers, scalars)
        _hand_out(targets, lane, cluster)


def _targets(program: Program, lane: Lane, sources: Sequence[Tensor]) -> list[Tensor | None]:
    """Where the results of joined vectors go: over their sources, or to new memory."""
    return [
        None if column is None else torch.empty_like(sources[0]) if at is None else sources[at]
        for column, at in zip(lane.targets, program.places, strict=True)
    ]


def _hand_out(targets: Sequence[Tensor | None], lane: Lane, cluster: list[int]) -> None:
    """Give each parameter its part of the results."""
    for result, column in zip(targets, lane.targets, strict=True):
        if result is not None and column is not None:
            places = [column[i] for i in cluster]
            torch._foreach_copy_(places, result.split([x.numel() for x in places]))
