"""Layers with nothing but linear calls between them, and activations of activations.

Two linear layers in a row are one linear layer, whatever stands between them that is linear itself:
a bias, dropout, a mean, batch normalization. Fused recurrent layers and attention have activations
of their own, and an embedding is a table: they begin no chain.
"""

from __future__ import annotations

from collections.abc import Sequence

from thalweg.recorder.anatomy import MOVES, RECURRENT, Activation, Layer, plain
from thalweg.recorder.tape import Note, Tape

NEVER = RECURRENT | {"multi_head_attention_forward", "embedding", "embedding_bag"}
SUMS = frozenset("add __add__ __radd__ __iadd__ sub __sub__ rsub __rsub__".split())  # noqa: SIM905
MULTIPLES = frozenset("mul __mul__ __rmul__ div __truediv__ neg __neg__".split())  # noqa: SIM905
KEEPING = frozenset({"dropout", "dropout1d", "dropout2d", "dropout3d"})
LINEAR = MOVES | KEEPING | frozenset(
    "mean sum avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d "  # noqa: SIM905
    "batch_norm".split()
)  # fmt: skip


def chains(
    tape: Tape, layers: Sequence[Layer], activations: Sequence[Activation]
) -> tuple[list[int | None], list[int | None]]:
    """For each layer the one that it follows linearly, for each activation the one it is given.

    None where there is no such one. Positions are those in the two lists.
    """
    leaves = frozenset(tape.leaf_slots)
    layer_at = {one.note: i for i, one in enumerate(layers)}
    activation_at = {one.note: i for i, one in enumerate(activations)}
    from_layer: dict[int, int] = {}
    from_activation: dict[int, int] = {}
    before: list[int | None] = [None] * len(layers)
    given: list[int | None] = [None] * len(activations)
    for at, note in enumerate(tape.notes):
        data = sorted(note.reads - leaves)
        own = data[0] if len(data) == 1 else -1
        linear, activated = from_layer.get(own), from_activation.get(own)
        _forget(note, from_layer, from_activation)
        if at in layer_at:
            before[layer_at[at]] = linear
            if plain(note.name) not in NEVER:
                _mark(note, from_layer, layer_at[at])
        elif at in activation_at:
            given[activation_at[at]] = activated
            _mark(note, from_activation, activation_at[at])
        else:
            if linear is not None and _is_linear(note, leaves):
                _mark(note, from_layer, linear)
            if activated is not None and plain(note.name) in MOVES | KEEPING:
                _mark(note, from_activation, activated)
    return before, given


def _mark(note: Note, of: dict[int, int], position: int) -> None:
    of.update(dict.fromkeys(note.writes, position))


def _forget(note: Note, *tables: dict[int, int]) -> None:
    """What a call writes is what it makes of it, also where it works in place."""
    for table in tables:
        for slot in note.writes:
            table.pop(slot, None)


def _is_linear(note: Note, leaves: frozenset[int]) -> bool:
    """Of what is computed; multiples by numbers and sums with biases count."""
    name = plain(note.name)
    return name in LINEAR or name in SUMS or (name in MULTIPLES and not note.reads & leaves)
