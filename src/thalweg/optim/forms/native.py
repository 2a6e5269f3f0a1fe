"""A program compiled by the machine's C compiler: a step of any number of tensors is one call.

The numbers go in as an array, so that a schedule never compiles anew; neither does another size or
another number of parameters. Parameters and state are advanced where they stand: nothing is joined,
copied or kept besides.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from ctypes import c_int64, c_void_p
from functools import cache
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from thalweg.optim.forms.crew import share
from thalweg.optim.forms.lanes import ADDRESS, Lane
from thalweg.optim.forms.program import Program
from thalweg.optim.forms.toolchain import library
from thalweg.optim.forms.translation import in_c

# Elements that a thread takes at once: so many that a call does not count, and so few that the
# threads are done at about the same time.
PIECE = 1 << 18

# Given where a table stands and how many rows it has, a piece, and where the numbers stand.
Kernel = Callable[..., None]


class Table(NamedTuple):
    """A lane's tensors as a kernel is given them: a row for each, which stands column by column."""

    memory: array[int]  # how many elements, and where each input begins
    rows: int
    pieces: list[tuple[int, int, int]]  # a row, how many elements to leave out in it, how many then
    written: list[Tensor]

    def put(self, gradients: Sequence[Tensor]) -> None:
        """Note where this step's gradients stand: the second input, and so the third column."""
        self.memory[2 * self.rows : 3 * self.rows] = array("q", map(ADDRESS, gradients))


def native(program: Program, lane: Lane) -> Kernel | None:
    """The kernel for a lane's tensors; None where C cannot do the program, or not on them.

    Raises:
        RuntimeError: there is no C compiler, or it fails.
    """
    p = lane.targets[0][0] if lane.targets[0] else None  # a complex parameter as pairs of reals
    if p is None or p.device.type != "cpu" or lane.layout == "any" or not lane.ready:
        return None
    return _kernel(program, p.dtype)


def advance(
    kernel: Kernel, lane: Lane, numbers: Sequence[float], scalars: Sequence[Tensor]
) -> None:
    """Advance a lane by one step of a kernel's program."""
    if lane.table is None:
        lane.table = _table(lane)
    table: Table = lane.table
    table.put(lane.gradients)
    packed = array("d", [*numbers, *map(float, scalars)])
    start, values = table.memory.buffer_info()[0], packed.buffer_info()[0]

    def labour(indices: Iterator[int]) -> None:
        for index in indices:
            kernel(start, table.rows, *table.pieces[index], values)

    share(labour, len(table.pieces), torch.get_num_threads())
    increment_version(table.written)  # which PyTorch's own functions do


def _table(lane: Lane) -> Table:
    """The table of a lane that is ready, without its gradients."""
    columns = [column for column in lane.inputs if column is not None]
    sizes = [x.numel() for x in columns[0]]
    memory = array("q", sizes)
    for column in columns:
        memory.extend(map(ADDRESS, column))
    written = [x for column in (columns[0], *columns[2:]) for x in column]
    return Table(memory, len(sizes), list(_pieces(sizes)), written)


def _pieces(sizes: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """All elements in pieces; where each begins, and how long it is."""
    ends = list(accumulate(sizes))
    row = 0
    for start in range(0, ends[-1], PIECE):
        while ends[row] <= start:
            row += 1
        yield row, start - ends[row] + sizes[row], min(PIECE, ends[-1] - start)


@cache
def _kernel(program: Program, kind: torch.dtype) -> Kernel | None:
    source = in_c(program, kind)
    if source is None:
        return None
    function = library(source).advance
    function.argtypes = (c_void_p, c_int64, c_int64, c_int64, c_int64, c_void_p)
    function.restype = None
    return function
