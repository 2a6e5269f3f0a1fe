"""A tape cut in two where the network's outputs enter the loss functions.

    parameters  ->  outputs  ->  loss

The tail is every call from the loss functions (``cross_entropy``, ``mse_loss``, ...) on: they, and
what depends on their results. Where there is none, squared errors that the program writes out are
taken for one (`recorder.squares`). The outputs are the values that the tail takes from before it:
what the network gives, and the penalties that are added to the loss. What Gauss-Newton and Fisher
matrices need is this cut.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.nn import functional as F

from thalweg.recorder.anatomy import plain
from thalweg.recorder.readings import LOSSES
from thalweg.recorder.squares import squared_errors
from thalweg.recorder.tape import Note, Slot, Tape, TapeError

# Of a loss, what keeps it convex where it is: sums, and multiples that are not negative.
SUMS = frozenset({"add", "__add__", "__radd__", "__iadd__", "sum", "mean", "stack", "view"})
MULTIPLES = frozenset(
    "mul __mul__ __rmul__ __imul__ div __truediv__ __itruediv__".split()  # noqa: SIM905
)


@dataclass(frozen=True)
class LossCall:
    """A call of a loss function on a tape.

    Attributes:
        function: The function with its options, from outputs and targets to the loss.
        targets: What it compares the outputs with; None if they too depend on parameters.
    """

    function: partial[torch.Tensor]
    targets: torch.Tensor | None


@dataclass(frozen=True)
class Cut:
    """A tape in two.

    Attributes:
        tape: The whole.
        slots: Where the outputs stand, in order.
        head, tail: The calls before and after.
        calls: Those of loss functions, in order.
        sums: Whether the loss is a sum of theirs, with weights above zero, and of outputs.
    """

    tape: Tape
    slots: tuple[int, ...]
    head: list[Note]
    tail: list[Note]
    calls: tuple[LossCall, ...]
    sums: bool

    @property
    def alone(self) -> bool:
        """Whether the loss is what one loss function gives of one output, and no more."""
        return len(self.tail) == len(self.calls) == len(self.slots) == 1

    def outputs(self, values: Mapping[int, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """The outputs with leaf number i at ``values[i]``."""
        memory = self.tape.begun(values)
        self.tape.go_on(self.head, memory)
        return tuple(memory[slot] for slot in self.slots)

    def loss(self, outputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """The loss of these outputs."""
        memory = self.tape.begun()
        for slot, value in zip(self.slots, outputs, strict=True):
            memory[slot] = value
        self.tape.go_on(self.tail, memory)
        return memory[self.tape.loss_slot]  # type: ignore[no-any-return]


def cut(tape: Tape) -> Cut:
    """The tape in two.

    Raises:
        TapeError: No loss function of PyTorch is on it, or what follows works in place on what
            comes before.
    """
    begins = loss_slots(tape)
    head, tail = parted(tape.notes, begins)
    if not tail:
        raise TapeError(
            "the script computes its loss without a loss function of PyTorch, so that it cannot be "
            "seen where the network's outputs end; write it with one, such as "
            "torch.nn.functional.mse_loss or cross_entropy"
        )
    made = frozenset[int]().union(*(note.writes for note in tail))
    read = frozenset[int]().union(*(note.reads for note in tail)) | {tape.loss_slot}
    before = frozenset[int](tape.leaf_slots).union(*(note.writes for note in head))
    calls = tuple(call_of(note) for note in tail if note.writes & begins)
    sums = all(is_sum(note, made, begins) for note in tail)
    found = Cut(tape, tuple(sorted(read & before)), head, tail, calls, sums)
    if made & before:
        raise TapeError("the script changes the network's outputs in place as it computes its loss")
    return found


def loss_slots(tape: Tape) -> frozenset[int]:
    """Where the results of loss functions stand; of squared errors, where there are none."""
    named = [note.writes for note in tape.notes if plain(note.name) in LOSSES]
    if named:
        return frozenset[int]().union(*named)
    return squared_errors(tape.notes, tape.loss_slot, is_sum)


def parted(notes: Sequence[Note], begins: frozenset[int]) -> tuple[list[Note], list[Note]]:
    """The calls before those that fill the slots `begins`, and those from there on."""
    head: list[Note] = []
    tail: list[Note] = []
    made: set[int] = set()
    for note in notes:
        late = bool(begins & note.writes or made & note.reads)
        (tail if late else head).append(note)
        made |= note.writes if late else frozenset()
    return head, tail


def call_of(note: Note) -> LossCall:
    """The loss function that a note calls, apart from what it is called with."""
    if plain(note.name) not in LOSSES:  # a squared error, whose difference is compared with zero
        return LossCall(partial(F.mse_loss, reduction="none"), None)
    given = named(note)
    targets = given.get("target")
    options = {k: v for k, v in given.items() if k not in ("input", "target")}
    known = targets if isinstance(targets, torch.Tensor) else None
    return LossCall(partial(note.func, **options), known)


def named(note: Note) -> dict[str, Any]:
    """A call's arguments by their names; of a function that has no signature, those given so."""
    try:
        return dict(inspect.signature(note.func).bind(*note.args, **note.kwargs).arguments)
    except (TypeError, ValueError):
        return dict(zip(("input", "target"), note.args, strict=False)) | note.kwargs


def is_sum(
    note: Note, made: frozenset[int] = frozenset(), begins: frozenset[int] = frozenset()
) -> bool:
    """Whether a call of the tail is a loss function, a sum, or a multiple that keeps the sign.

    Args:
        note: The call.
        made: What the tail makes; a loss function of that is no sum.
        begins: Where the results of loss functions stand.
    """
    name = plain(note.name)
    if begins & note.writes:
        return not note.reads & made
    if name in MULTIPLES:
        value, *factors = [*note.args, *note.kwargs.values()]
        return isinstance(value, Slot) and all(map(is_not_negative, factors))
    return name in SUMS and is_not_negative(note.kwargs.get("alpha", 1))


def is_not_negative(one: Any) -> bool:
    """Whether it is a number, or a tensor that holds one, and at least zero."""
    if isinstance(one, torch.Tensor):
        return one.numel() == 1 and bool(one >= 0)
    return isinstance(one, int | float) and one >= 0
