"""Advancing a lane as vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from thalweg.optim.forms.blocks import Advance
from thalweg.optim.forms.lanes import Lane
from thalweg.optim.forms.listed import listed
from thalweg.optim.forms.program import Program

# From what is present and the hyperparameters to a program, its numbers and its 0-d tensors.
Script = Callable[
    [Sequence[bool], Mapping[str, Any]], tuple[Program, Sequence[float], Sequence[Tensor]]
]


def joined(
    script: Script, lane: Lane, hyper: dict[str, Any], prepare: Callable[[Program], Advance]
) -> None:
    """Advance the lane's vectors: large ones where they stand, small ones joined end to end.

    Args:
        script: of the formula.
        lane: whose tensors can be seen as vectors.
        hyper: all that the formula takes besides tensors.
        prepare: makes a program into the function that advances a vector.
    """
    program, numbers, scalars = script(lane.present, hyper)
    brief = listed(program) if lane.small else None
    if brief:
        brief(*(column for column in lane.inputs if column is not None), *numbers)
        return
    if lane.vectors:
        calls = [vector.loaded(lane.gradients) for vector in lane.vectors]
        prepare(program)(calls, numbers, scalars)
        for vector in lane.vectors:
            vector.store()
