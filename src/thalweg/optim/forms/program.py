"""Writing a formula down: which operations it asks for, apart from its numbers.

A formula is run on `Symbol`s, which do no arithmetic and only write each operation on their tape.
Two things come out: a `Program`, the operations and how they hang together, and the numbers that
occurred. As this is done at every step, a formula may branch on its hyperparameters in plain
Python, and what depends on numbers only, like 1 - b1**t, is computed once in Python instead of for
each coordinate. A schedule changes the numbers and leaves the program as it is, so that what was
prepared for a program (`kernel`, `blocks`) serves the whole run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx

from thalweg.optim.forms.batch import Operand


class Pointer(NamedTuple):
    """Stands for an argument of an operation that is no constant of the program."""

    table: str  # "values": the inputs and then the results; "numbers"; "scalars": 0-d tensors
    at: int


class Operation(NamedTuple):
    """One call of a `torch` function; its arguments may be pointers."""

    func: Any
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...]

    @property
    def reads(self) -> list[int]:
        """The values that it needs."""
        every = (*self.args, *(x for _, x in self.kwargs))
        return [x.at for x in every if isinstance(x, Pointer) and x.table == "values"]


class Program(NamedTuple):
    """What a formula does, apart from its numbers.

    `places` and `outputs` have an entry for p and for each slot: which input it is, and which value
    it becomes; None where there is none.
    """

    inputs: int
    operations: tuple[Operation, ...]
    places: tuple[int | None, ...]
    outputs: tuple[int | None, ...]
    numbers: int
    scalars: int


class Tape:
    """What the symbols of one run write on."""

    def __init__(self) -> None:
        self.inputs = 0
        self.operations: list[Operation] = []
        self.numbers: list[float] = []
        self.scalars: list[Tensor] = []

    def input(self) -> Symbol:
        """A symbol for one more input; all inputs come before the first operation."""
        self.inputs += 1
        return Symbol(self, self.inputs - 1)

    def write(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Symbol:
        """Write an operation down; the symbol of its result."""
        # An exponent is part of the program: x**2 is a product, x**y with unknown y is not.
        refer = self.value if func is torch.pow else self.pointer
        named = tuple(sorted((name, self.pointer(x)) for name, x in kwargs.items()))
        self.operations.append(Operation(func, tuple(map(refer, args)), named))
        return Symbol(self, self.inputs + len(self.operations) - 1)

    def value(self, x: Any) -> Any:
        """What stands for an argument if it is a symbol."""
        return Pointer("values", x.at) if isinstance(x, Symbol) else x

    def pointer(self, x: Any) -> Any:
        """What stands for an argument in the program."""
        if isinstance(x, float):
            self.numbers.append(x)
            return Pointer("numbers", len(self.numbers) - 1)
        if isinstance(x, Tensor):
            self.scalars.append(x)
            return Pointer("scalars", len(self.scalars) - 1)
        if isinstance(x, Operand) and not isinstance(x, Symbol):
            raise TypeError(f"a program cannot refer to a {type(x).__name__}")
        return self.value(x)


class Symbol(Operand):
    """Stands for a tensor in a run that is only written down."""

    def __init__(self, tape: Tape, at: int) -> None:
        self.tape = tape
        self.at = at

    @classmethod
    def run(cls, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Write the operation down."""
        tape = next(x.tape for x in (*args, *kwargs.values()) if isinstance(x, Symbol))
        return tape.write(func, args, kwargs)


def record(
    formula: Callable[..., Any], present: Sequence[bool], hyper: Mapping[str, Any]
) -> tuple[Program, list[float], list[Tensor]]:
    """Run a formula on symbols.

    Args:
        formula: a rule's.
        present: for p, g and each slot, whether there is a tensor; the others are None.
        hyper: the hyperparameters as numbers.

    Returns:
        The program, and the numbers and 0-d tensors that occurred in it, in order.
    """
    tape = Tape()
    inputs = [tape.input() if here else None for here in present]
    results = formula(*inputs, **hyper)
    program = Program(
        tape.inputs,
        tuple(tape.operations),
        tuple(None if x is None else x.at for x in (inputs[0], *inputs[2:])),
        tuple(None if x is None else x.at for x in results),
        len(tape.numbers),
        len(tape.scalars),
    )
    return program, tape.numbers, tape.scalars


def fill(
    operation: Operation, values: Sequence[Any], numbers: Sequence[Any], scalars: Sequence[Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """An operation's arguments with every pointer followed."""
    tables = {"values": values, "numbers": numbers, "scalars": scalars}

    def follow(x: Any) -> Any:
        return tables[x.table][x.at] if isinstance(x, Pointer) else x

    return tuple(map(follow, operation.args)), {name: follow(x) for name, x in operation.kwargs}


def write_back(graph: fx.Graph, pairs: Sequence[tuple[Any, Any]]) -> None:
    """End a graph by copying values to their targets."""
    # All results before the first writing: one may be another's old input.
    results = [graph.call_method("clone", (value,)) for _, value in pairs]
    for (target, _), result in zip(pairs, results, strict=True):
        graph.call_method("copy_", (target, result))
    graph.output(None)
