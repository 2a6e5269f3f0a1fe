"""Advancing a lane by a program."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from thalweg.optim.forms.blocks import Advance, in_blocks
from thalweg.optim.forms.lanes import Lane
from thalweg.optim.forms.listed import listed
from thalweg.optim.forms.program import Program
from thalweg.optim.forms.recipes import Recipes
from thalweg.optim.forms.settings import Reading

# Advances a lane by one step of a program, given its numbers and its 0-d tensors.
Run = Callable[[Program, Lane, Sequence[float], Sequence[Tensor]], None]


def joined(recipes: Recipes, lane: Lane, hyper: Reading, run: Run) -> Mapping[int, Any]:
    """Advance the lane by the formula's program.

    Args:
        recipes: of the formula.
        lane: whose tensors can be seen as vectors.
        hyper: all that the formula takes besides tensors and the count of steps.
        run: does the program.

    Returns:
        The lane's scalar state after the step, by slot.
    """
    program, numbers, scalars, results = recipes.at(lane.present, hyper, lane.t, lane.scalars)
    run(program, lane, numbers, scalars)
    return results


def blocked(
    program: Program, lane: Lane, numbers: Sequence[float], scalars: Sequence[Tensor]
) -> None:
    """Advance the lane piece by piece, or at once as a list where that is a single operation."""
    brief = listed(program) if lane.small else None
    if brief:
        brief(*[column for column in lane.inputs if column is not None], *numbers)
    else:
        as_vectors(in_blocks(program), lane, numbers, scalars)


def as_vectors(
    advance: Advance, lane: Lane, numbers: Sequence[float], scalars: Sequence[Tensor]
) -> None:
    """Advance the lane's vectors: large ones where they stand, small ones joined end to end."""
    if lane.vectors:
        calls = [vector.loaded(lane.gradients) for vector in lane.vectors]
        advance(calls, numbers, scalars)
        for vector in lane.vectors:
            vector.store()
