"""Squared errors that a program writes out, as in ``((model(x) - y) ** 2).mean()``.

They count as a loss function where the loss is made of them by sums and multiples alone: a network
may take squares of differences too (in a normalization by hand), and goes on with them otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from thalweg.recorder.anatomy import plain
from thalweg.recorder.readings import SUBTRACTIONS
from thalweg.recorder.tape import Note, Slot

POWERS = frozenset({"pow", "__pow__", "float_power"})
PRODUCTS = frozenset({"mul", "__mul__", "multiply"})


def squared_errors(
    notes: Sequence[Note], end: int, is_sum: Callable[[Note], bool]
) -> frozenset[int]:
    """The slots of squares of differences that reach the slot ``end`` by sums alone.

    Args:
        notes: Of a tape.
        end: Where its loss stands.
        is_sum: Whether a call is a sum, or a multiple that keeps the sign.
    """
    made_by = {slot: note for note in notes for slot in note.writes}
    summed, found = [end], set[int]()
    while summed:
        slot = summed.pop()
        note = made_by.get(slot)
        if note is not None and is_squared_error(note, made_by):
            found.add(slot)
        elif note is not None and is_sum(note):
            summed += note.reads
    return frozenset(found)


def is_squared_error(note: Note, made_by: dict[int, Note]) -> bool:
    """Whether a call squares what a subtraction gave."""
    of = squared(note)
    made = made_by.get(of.index) if of else None
    return made is not None and plain(made.name) in SUBTRACTIONS


def squared(note: Note) -> Slot | None:
    """What a call squares, not in place; None if it does something else."""
    first, *others = (*note.args, *note.kwargs.values())
    squares = note.name == "square" or (
        (note.name in POWERS and others == [2]) or (note.name in PRODUCTS and others == [first])
    )
    return first if squares and isinstance(first, Slot) else None
