"""Advancing a lane as vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from thalweg.optim.forms.blocks import Advance
from thalweg.optim.forms.lanes import Lane
from thalweg.optim.forms.listed import listed
from thalweg.optim.forms.program import Program
from thalweg.optim.forms.recipes import Recipes
from thalweg.optim.forms.settings import Reading


def joined(
    recipes: Recipes, lane: Lane, hyper: Reading, prepare: Callable[[Program], Advance]
) -> Mapping[int, Any]:
    """Advance the lane's vectors: large ones where they stand, small ones joined end to end.

    Args:
        recipes: of the formula.
        lane: whose tensors can be seen as vectors.
        hyper: all that the formula takes besides tensors and the count of steps.
        prepare: makes a program into the function that advances a vector.

    Returns:
        The lane's scalar state after the step, by slot.
    """
    program, numbers, scalars, results = recipes.at(lane.present, hyper, lane.t, lane.scalars)
    brief = listed(program) if lane.small else None
    if brief:
        brief(*[column for column in lane.inputs if column is not None], *numbers)
    elif lane.vectors:
        calls = [vector.loaded(lane.gradients) for vector in lane.vectors]
        prepare(program)(calls, numbers, scalars)
        for vector in lane.vectors:
            vector.store()
    return results
