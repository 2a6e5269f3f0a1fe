"""What a step is made of, read from its tape: layers, activations, entrances of data, and the loss.

Everything is found by what the calls do, not by the classes that made them, so that modules,
``torch.nn.functional`` and bare ``x @ w`` look alike. Positions count in the order of the forward
pass and are the same in every run of the script, which is what lets an intervention that was
planned on one run find its place in another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from thalweg.recorder.readings import DIFFERENCES, LOSSES
from thalweg.recorder.tape import Note, Slot, Tape

# Calls that carry data through a weight: the position of the data among the arguments.
LAYERS = frozenset(
    "linear matmul __matmul__ __rmatmul__ mm mv addmm addmv baddbmm bmm einsum conv1d conv2d "  # noqa: SIM905
    "conv3d conv_transpose1d conv_transpose2d conv_transpose3d bilinear embedding embedding_bag "
    "rnn_tanh rnn_relu lstm gru multi_head_attention_forward".split()
)
RECURRENT = frozenset({"rnn_tanh", "rnn_relu", "lstm", "gru"})
SATURATING = {"tanh": (-1.0, 1.0), "sigmoid": (0.0, 1.0), "hardtanh": (-1.0, 1.0),
              "hardsigmoid": (0.0, 1.0), "softsign": (-1.0, 1.0)}  # fmt: skip
RECTIFYING = frozenset({"relu", "relu6", "threshold", "hardswish", "clamp_min"})
SMOOTH = frozenset(
    "leaky_relu elu selu celu gelu silu mish softplus prelu rrelu logsigmoid".split()  # noqa: SIM905
)
ACTIVATIONS = frozenset(SATURATING) | RECTIFYING | SMOOTH
# What moves or retypes values without computing any.
MOVES = frozenset(
    "squeeze unsqueeze view reshape flatten unflatten ravel transpose permute T mT t movedim float "  # noqa: SIM905
    "double half bfloat16 to type contiguous clone __getitem__ select narrow expand view_as".split()
)


def plain(name: str) -> str:
    """A call's name without the underscore of its in-place form."""
    return name[:-1] if name.endswith("_") and not name.endswith("__") else name


@dataclass(frozen=True)
class Layer:
    """A call that carries data through trained weights.

    Attributes:
        note: Position of the call on the tape.
        kind: The function's name.
        weights: Positions of its weights among the tape's leaves.
        entrance: The data, if what it is given does not depend on any parameter.
        output: The slot of its result.
    """

    note: int
    kind: str
    weights: tuple[int, ...]
    entrance: torch.Tensor | None
    output: int


@dataclass(frozen=True)
class Activation:
    """A nonlinearity; hidden if a layer comes after it."""

    note: int
    kind: str
    slot: int
    hidden: bool


@dataclass(frozen=True)
class Ending:
    """Where the outputs meet the targets.

    Attributes:
        kind: The loss function's name, or ``difference`` for a subtraction by hand.
        outputs: The slot of what the network gives.
        targets: What they are compared with; None if they too depend on parameters.
        made_by: The name of the call that made the outputs.
        note: Position on the tape.
        log_input: Of a Poisson loss, whether it takes the outputs for logarithms; else None.
    """

    kind: str
    outputs: int
    targets: torch.Tensor | None
    made_by: str
    note: int
    log_input: bool | None = None


def layers(tape: Tape) -> list[Layer]:
    """The layers in the order of the forward pass."""
    leaf_of = {slot: position for position, slot in enumerate(tape.leaf_slots)}
    found = []
    for at, note in enumerate(tape.notes):
        weights = tuple(leaf_of[slot] for slot in _slots(note.args) if slot in leaf_of)
        if plain(note.name) in LAYERS and weights and note.results and note.results[0] is not None:
            found.append(
                Layer(at, plain(note.name), weights, _data(note, leaf_of), note.results[0])
            )
    return found


def _data(note: Note, leaf_of: dict[int, int]) -> torch.Tensor | None:
    if any(slot not in leaf_of for slot in note.reads):
        return None
    floats = (a for a in note.args if isinstance(a, torch.Tensor) and a.is_floating_point())
    return next(floats, None)


@dataclass(frozen=True)
class Unrolled:
    """A loop over a cell: one square matrix that carries a state round after round.

    Attributes:
        matrix: Its place among the layers' matrices, in the order in which they are first used.
        outputs: The slots of what it gives, round by round.
    """

    matrix: int
    outputs: tuple[int, ...]


def unrolled(tape: Tape, fewest: int = 5) -> Unrolled | None:
    """The matrix that is used in the most rounds on values of its own making; None if none is."""
    rounds: dict[int, list[int]] = {}
    order: list[int] = []
    for one in layers(tape):
        for at in one.weights:
            shape = tape.leaves[at].shape
            if len(shape) >= 2 and at not in order:
                order.append(at)
            if len(shape) == 2 and shape[0] % shape[1] == 0 and one.kind != "embedding":
                rounds.setdefault(at, []).extend([] if one.entrance is not None else [one.output])
    most = max(rounds, key=lambda at: len(rounds[at]), default=None)
    if most is None or len(rounds[most]) < fewest:
        return None
    return Unrolled(order.index(most), tuple(rounds[most]))


def activations(tape: Tape) -> list[Activation]:
    """The nonlinearities in the order of the forward pass."""
    behind = _followed_by_a_layer(tape)
    return [
        Activation(at, plain(note.name), note.results[0], note.results[0] in behind)
        for at, note in enumerate(tape.notes)
        if plain(note.name) in ACTIVATIONS and note.results and note.results[0] is not None
    ]


def _followed_by_a_layer(tape: Tape) -> set[int]:
    """Slots whose value some later layer is given, directly or through other calls."""
    found: set[int] = set()
    leaf_slots = set(tape.leaf_slots)
    for note in reversed(tape.notes):
        is_layer = plain(note.name) in LAYERS and note.reads & leaf_slots
        if is_layer or note.writes & found:
            found |= note.reads
    return found


def ending(tape: Tape) -> Ending | None:
    """Where outputs meet targets: the last loss function, else the last difference by hand."""
    maker = {slot: note for note in tape.notes for slot in note.writes}
    leaves = set(tape.leaf_slots)
    for names in (LOSSES, DIFFERENCES):
        for at in range(len(tape.notes) - 1, -1, -1):
            note = tape.notes[at]
            if plain(note.name) not in names:
                continue
            given = [*note.args, *(note.kwargs[k] for k in ("input", "target") if k in note.kwargs)]
            outputs = next((a.index for a in given if isinstance(a, Slot)), None)
            tensors = (a for a in given if isinstance(a, torch.Tensor))
            targets = next((a for a in tensors if a.numel() > 1), None)
            if outputs is None or (outputs in leaves) or (names is DIFFERENCES and targets is None):
                continue
            made_by = _maker(outputs, maker)
            kind = plain(note.name) if names is LOSSES else "difference"
            return Ending(kind, outputs, targets, made_by, at, _takes_logarithms(note))
    return None


def _takes_logarithms(note: Note) -> bool | None:
    """The third argument of a Poisson loss, which is true by default."""
    if plain(note.name) != "poisson_nll_loss":
        return None
    return bool(note.args[2] if len(note.args) > 2 else note.kwargs.get("log_input", True))


def _maker(slot: int, maker: dict[int, Note]) -> str:
    """The name of the call that computed a value, whatever has moved it since."""
    note = maker.get(slot)
    while note is not None and plain(note.name) in MOVES:
        before = [index for index in _slots(note.args) if index in maker]
        note = maker[before[0]] if before else None
    return "" if note is None else plain(note.name)


def _slots(part: Any) -> list[int]:
    if isinstance(part, Slot):
        return [part.index]
    if isinstance(part, tuple | list):
        return [slot for item in part for slot in _slots(item)]
    return []
