"""A program of one operation on lists of small tensors: one call for all of them, in place.

So plain gradient descent is run, where anything else would cost more than the arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import fx

from thalweg.optim.forms.program import Program, fill

IN_PLACE: dict[Any, Callable[..., Any]] = {
    torch.add: torch._foreach_add_,
    torch.sub: torch._foreach_sub_,
    torch.mul: torch._foreach_mul_,
    torch.lerp: torch._foreach_lerp_,
    torch.addcmul: torch._foreach_addcmul_,
    torch.addcdiv: torch._foreach_addcdiv_,
}


@cache
def listed(program: Program) -> Callable[..., None] | None:
    """The program as a function of its input columns and its numbers; None if it does not fit.

    It fits if it is one operation that makes the new parameter of the old one.
    """
    if len(program.operations) != 1 or program.scalars:
        return None
    (operation,) = program.operations
    changes_p_alone = operation.reads[:1] == [0] and not any(
        output is not None and output != place
        for place, output in zip(program.places[1:], program.outputs[1:], strict=True)
    )
    if operation.func not in IN_PLACE or not changes_p_alone:
        return None
    graph = fx.Graph()
    values = [graph.placeholder(f"x{i}") for i in range(program.inputs)]
    numbers = [graph.placeholder(f"number{i}") for i in range(program.numbers)]
    args, kwargs = fill(operation, values, numbers, ())
    graph.call_function(IN_PLACE[operation.func], args, kwargs)
    graph.output(None)
    forward: Callable[..., None] = fx.GraphModule({}, graph).forward
    return forward
