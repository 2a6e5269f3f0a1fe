"""Compiling a program: one pass over the memory.

On a CPU the machine's C compiler does it in a tenth of a second (`native`). Other devices, other
types, and programs with operations that we do not know how to write in C are `torch.compile`'s,
which takes some 10 s: vectors of any length. There the program's numbers go in as one small tensor,
so that a schedule never compiles anew. Handing hyperparameters themselves to `torch.compile` as
tensors would compute 1 - b1**t for every coordinate.

A kernel may differ from the plain form in the last bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from operator import getitem
from typing import Any

import torch
from torch import Tensor, fx

from thalweg.optim.forms.blocks import Advance, Call
from thalweg.optim.forms.joined import as_vectors, blocked
from thalweg.optim.forms.lanes import Lane
from thalweg.optim.forms.native import advance, native
from thalweg.optim.forms.program import Program, fill, write_back


def _clamp(x: Any, min: Any = None, max: Any = None) -> Any:
    x = x if min is None else torch.maximum(x, torch.as_tensor(min, dtype=x.dtype))
    return x if max is None else torch.minimum(x, torch.as_tensor(max, dtype=x.dtype))


# PyTorch's compound functions take factors and bounds as numbers, which a kernel would freeze.
PLAIN: dict[Any, Callable[..., Any]] = {
    torch.add: lambda x, y, alpha=1: x + alpha * y,
    torch.sub: lambda x, y, alpha=1: x - alpha * y,
    torch.lerp: lambda x, y, weight: x + weight * (y - x),
    torch.addcmul: lambda x, y, z, value=1: x + value * y * z,
    torch.addcdiv: lambda x, y, z, value=1: x + value * y / z,
    torch.clamp: _clamp,
}


def compiled(
    program: Program, lane: Lane, numbers: Sequence[float], scalars: Sequence[Tensor]
) -> None:
    """Advance a lane by one step of a program, compiled at the first.

    Raises:
        RuntimeError: there is no compiler, or it fails; nothing has been written then.
    """
    kernel = native(program, lane)
    if kernel:
        advance(kernel, lane, numbers, scalars)
    else:
        as_vectors(traced(program), lane, numbers, scalars)


def compiled_if_possible(
    program: Program,
    lane: Lane,
    numbers: Sequence[float],
    scalars: Sequence[Tensor],
    refused: Callable[[RuntimeError], None],
) -> None:
    """Advance a lane by what compiles quickly, or otherwise uncompiled.

    A run that did not ask for a compiler must not end for want of one, so `refused` is told then.
    """
    try:
        kernel = native(program, lane)
    except RuntimeError as error:
        kernel = None
        refused(error)
    if kernel:
        advance(kernel, lane, numbers, scalars)
    else:
        blocked(program, lane, numbers, scalars)


@cache
def traced(program: Program) -> Advance:
    """A program, compiled by PyTorch, as a function that advances vectors in place."""
    kernel = torch.compile(_module(program), fullgraph=True, dynamic=True)

    def run(calls: Sequence[Call], numbers: Sequence[float], scalars: Sequence[Tensor]) -> None:
        packed = torch.tensor(numbers, dtype=torch.float64).to(calls[0][0][0].device)
        for sources, _ in calls:
            # Detached, because the compiler takes a view for something else than what is none.
            kernel(*(x.detach() for x in sources), packed, *scalars)

    return run


def _module(program: Program) -> fx.GraphModule:
    """The program as a module of its own, because PyTorch keeps its kernels by code."""
    graph = fx.Graph()
    values = [graph.placeholder(f"x{i}") for i in range(program.inputs)]
    packed = graph.call_method("unbind", (graph.placeholder("numbers"),))
    scalars = [graph.placeholder(f"scalar{i}") for i in range(program.scalars)]
    numbers = [graph.call_function(getitem, (packed, i)) for i in range(program.numbers)]
    for operation in program.operations:
        args, kwargs = fill(operation, values, numbers, scalars)
        values.append(graph.call_function(PLAIN.get(operation.func, operation.func), args, kwargs))
    pairs = zip(program.places, program.outputs, strict=True)
    write_back(graph, [(values[i], values[o]) for i, o in pairs if i is not None and o is not None])
    return fx.GraphModule({}, graph)
