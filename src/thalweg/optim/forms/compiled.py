"""Compiling a program: one pass over the memory, for vectors of any length.

The program's numbers go in as one small tensor, so that a schedule never compiles anew. Handing
hyperparameters themselves to `torch.compile` as tensors would compute 1 - b1**t for every
coordinate: on 10^7 parameters Adam takes twice as long then.

A kernel does the program's operations in the textbook's form and may differ from the plain form in
the last bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from operator import getitem
from typing import Any

import torch
from torch import Tensor, fx

from thalweg.optim.forms.blocks import Advance, Call
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


@cache
def compiled(program: Program) -> Advance:
    """A program as a function that advances vectors, writing its results over its inputs."""
    kernel = torch.compile(_module(program), fullgraph=True, dynamic=True)

    def advance(calls: Sequence[Call], numbers: Sequence[float], scalars: Sequence[Tensor]) -> None:
        packed = torch.tensor(numbers, dtype=torch.float64).to(calls[0][0][0].device)
        for sources, _ in calls:
            # Detached, because the compiler takes a view for something else than what is none.
            kernel(*(x.detach() for x in sources), packed, *scalars)

    return advance


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
