"""The tape: one step's loss as the calls that lead from the parameters to it, to be played again.

While a tape records, every call that depends on a leaf tensor requiring gradients is noted with its
arguments, the random state it found, and the autocast state it ran under. ``Tape.loss(values)``
plays the calls that the loss depends on at other parameters. What the program's gradient treats as
constant (``no_grad``, ``detach``) stays constant. A play at the recorded parameters gives the
recorded loss bit for bit; one that does not, or a value that no call explains (a custom
``autograd.Function``, a compiled module), makes the tape say so instead of playing something else.

Memory: while a step is recorded the tape holds its activations, as autograd itself does, and at
most 4 GiB: what a program computes with gradients and never differentiates is dropped when that is
full.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from thalweg.recorder.leaves import needs_gradient
from thalweg.recorder.session import Call, Listener
from thalweg.recorder.surroundings import Autocast, RandomState, autocast_as, autocast_now

# Writes into its own arguments: the position of the tensors it changes.
BUFFER_WRITERS = {"batch_norm": (1, 2), "instance_norm": (1, 2)}
CUTS = frozenset({"detach", "detach_", "data", "item", "tolist", "numpy", "grad_of", "__float__"})
MOST_BYTES = 4 << 30
IN_PLACE = frozenset(
    {"__setitem__", "__iand__", "__ior__", "__ixor__", "__ilshift__", "__irshift__"}
)


class TapeError(RuntimeError):
    """The loss of this step cannot be played again; the message says why."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A place on the tape: a value that an earlier call made, or a leaf."""

    index: int


@dataclass(frozen=True, slots=True)
class Kept:
    """A constant that the call writes into: each play puts a fresh copy of it into its slot."""

    value: torch.Tensor
    index: int


@dataclass(slots=True)
class Note:
    """One call on the tape."""

    func: Callable[..., Any]
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    random: RandomState | None
    autocast: Autocast
    results: list[int | None]
    reads: frozenset[int]
    writes: frozenset[int]


@dataclass
class Tape:
    """The calls from the leaves to one loss.

    Attributes:
        leaves: The tensors that the loss was differentiated for, in order of first use.
        notes: The calls, in order; only those that the loss depends on.
        value: The loss as the program computed it.
    """

    leaves: list[torch.Tensor]
    leaf_slots: list[int]
    notes: list[Note]
    loss_slot: int
    value: torch.Tensor
    slots: int
    flaw: str = ""
    watched: dict[int, Any] = field(default_factory=dict)

    def loss(self, values: Mapping[int, torch.Tensor] | Sequence[torch.Tensor]) -> torch.Tensor:
        """The loss with leaf number i at ``values[i]``; leaves not given stay as they are now.

        Raises:
            TapeError: If the step could not be recorded whole.
        """
        return self.play(values)[self.loss_slot]  # type: ignore[no-any-return]

    def loss_of(self, names: Sequence[str]) -> Callable[[Mapping[str, torch.Tensor]], torch.Tensor]:
        """The loss as a function of its leaves by name, as `curvature.Hessian` takes it.

        Args:
            names: One for each leaf, in order. Leaves that are not given by name stay as they are.
        """
        place = {name: index for index, name in enumerate(names)}
        return lambda values: self.loss({place[name]: one for name, one in values.items()})

    def play(
        self,
        values: Mapping[int, torch.Tensor] | Sequence[torch.Tensor] = (),
        instead: Mapping[int, torch.Tensor] | None = None,
    ) -> list[Any]:
        """Every value on the tape, computed anew; ``instead`` replaces constants by identity."""
        memory = self.begun(values)
        self.go_on(self.notes, memory, instead)
        return memory

    def begun(self, values: Mapping[int, torch.Tensor] | Sequence[torch.Tensor] = ()) -> list[Any]:
        """The slots before the first call, with leaf number i at ``values[i]``."""
        if self.flaw:
            raise TapeError(self.flaw)
        given = dict(values.items()) if isinstance(values, Mapping) else dict(enumerate(values))
        memory: list[Any] = [None] * self.slots
        for position, slot in enumerate(self.leaf_slots):
            memory[slot] = given.get(position, self.leaves[position])
        return memory

    def go_on(
        self,
        notes: Sequence[Note],
        memory: list[Any],
        instead: Mapping[int, torch.Tensor] | None = None,
    ) -> None:
        """Play some of the calls with what stands in ``memory``, and put there what they give."""
        drawn = [g for note in notes if note.random for g, _ in note.random.own]
        state = RandomState.now(drawn)
        try:
            for note in notes:
                _play(note, memory, instead or {})
        finally:
            state.restore()

    def check(self) -> None:
        """Play at the recorded parameters and compare bit for bit.

        Raises:
            TapeError: If the tape has a flaw or the played loss differs from the recorded one.
        """
        # with gradients, as the program ran: some kernels round differently without;
        # on copies, since a call may write into its weights (an embedding with a largest norm)
        copies = [leaf.detach().clone().requires_grad_() for leaf in self.leaves]
        again = self.loss(copies).detach()
        if not torch.equal(again.reshape(()), self.value.reshape(())) and not (
            again.isnan().all() and self.value.isnan().all()
        ):
            self.flaw = (
                f"the step played again gives {again.item():.9g}, "
                f"the program had {self.value.item():.9g}"
            )
            raise TapeError(self.flaw)


def _play(note: Note, memory: list[Any], instead: Mapping[int, torch.Tensor]) -> None:
    def fill(part: Any) -> Any:
        if isinstance(part, Slot):
            return memory[part.index]
        if isinstance(part, Kept):
            memory[part.index] = part.value.clone()
            return memory[part.index]
        return instead.get(id(part), part) if isinstance(part, torch.Tensor) else part

    if note.random is not None:
        note.random.restore()
    with autocast_as(note.autocast):
        result = note.func(*_each(fill, note.args), **_each(fill, note.kwargs))
    for slot, value in zip(note.results, _tensors(result), strict=True):
        if slot is not None:
            memory[slot] = value


def _each(change: Callable[[Any], Any], part: Any) -> Any:
    """The same nesting of containers with every other value changed."""
    if isinstance(part, tuple):
        changed = [_each(change, item) for item in part]
        return type(part)(*changed) if hasattr(part, "_fields") else tuple(changed)
    if isinstance(part, list):
        return [_each(change, item) for item in part]
    if isinstance(part, dict):
        return {key: _each(change, item) for key, item in part.items()}
    if isinstance(part, slice):
        return slice(*(_each(change, item) for item in (part.start, part.stop, part.step)))
    return change(part)


def _tensors(part: Any) -> list[torch.Tensor]:
    """Every tensor in a nesting of containers, in order."""
    return [one for one in _values(part) if isinstance(one, torch.Tensor)]


def _values(part: Any) -> list[Any]:
    """Everything in a nesting of containers, in order."""
    found: list[Any] = []
    _each(found.append, part)
    return found


class TapeRecorder(Listener):
    """Records one tape after another while it is switched on.

    ``on`` may be changed at any time; ``take`` hands over the tape that ends in a loss.
    """

    only_looks: ClassVar[bool] = True

    def __init__(self) -> None:
        self.on = True
        self.clear()

    def clear(self) -> None:
        """Forget what was recorded and begin anew."""
        self._slot_of: dict[int, int] = {}
        self._held: list[torch.Tensor] = []  # keeps identities unique while recording
        self._leaves: list[torch.Tensor] = []
        self._leaf_slots: list[int] = []
        self._notes: list[Note] = []
        self._made: set[int] = set()  # slots that a call on the tape has filled
        self._sharing: dict[int, set[int]] = {}  # slots whose tensors are views of one memory
        self._bytes = 0
        self._unexplained: dict[int, str] = {}  # slots of values that came from nowhere
        self._slots = 0

    def rewrite(self, call: Call) -> None:
        """Note the random state that the call will find, and keep what it writes into."""
        if self._bytes > MOST_BYTES:
            self.clear()
        if not self.on or not torch.is_grad_enabled() or call.name in CUTS:
            self._reads: list[torch.Tensor] = []
            self._freeze(_targets(call))
            return
        given = _values((call.args, call.kwargs))
        self._reads = [x for x in given if isinstance(x, torch.Tensor) and self._depends(x, call)]
        if self._reads:
            self._random = RandomState.now(x for x in given if isinstance(x, torch.Generator))
            self._before = _written(call)

    def _freeze(self, written: Sequence[torch.Tensor]) -> None:
        """What the program writes where its gradient does not look is a constant from here on."""
        for one in written:
            if self._slot_of.get(id(one)) not in self._leaf_slots:
                self._slot_of.pop(id(one), None)

    def called(self, call: Call, result: Any) -> None:
        """Note the call if it depends on a leaf."""
        if not self.on or not self._reads:
            return
        if any(self._slot_of.get(key) in self._leaf_slots for key in self._before):
            return  # a leaf was filled (initialized, loaded): it counts by what it holds at the end
        read = frozenset(self._slot_of[id(one)] for one in self._reads)
        writes = {self._slot(one) for one, _ in self._before.values()}
        args, kwargs = _each(self._note, call.args), _each(self._note, call.kwargs)
        made = _tensors(result)
        changed = [one for one in made if id(one) in self._slot_of]
        results = [self._place(one) for one in made]
        writes |= {slot for slot in results if slot is not None}
        for one in (*changed, *(one for one, _ in self._before.values())):
            writes |= self._sharing.get(_storage(one), set())
        random = None if self._random.still() else self._random
        self._notes.append(
            Note(
                call.func, call.name, args, kwargs, random, autocast_now(), results, read,
                frozenset(writes),
            )
        )  # fmt: skip

    def _note(self, part: Any) -> Any:
        """A tensor as it stands in a note: by its slot, as a fresh copy, or as a constant."""
        if not isinstance(part, torch.Tensor) or id(part) not in self._slot_of:
            return part
        slot = self._slot_of[id(part)]
        fresh = slot not in self._made and slot not in self._leaf_slots
        self._made.add(slot)
        return Kept(self._before[id(part)][1], slot) if fresh else Slot(slot)

    def _depends(self, tensor: torch.Tensor, call: Call) -> bool:
        """Whether the loss's gradient flows to or through this tensor; a new leaf gets its slot."""
        if id(tensor) in self._slot_of:
            return True
        if not needs_gradient(tensor):
            return False
        if not tensor.is_leaf:
            slot = self._new(tensor)
            self._made.add(slot)
            self._unexplained[slot] = (
                f"{call.name} reads a value that no visible call computed (a custom "
                "autograd.Function, a compiled module, or a graph kept from long before)"
            )
            return True
        self._leaves.append(tensor)
        self._leaf_slots.append(self._new(tensor))
        return True

    def _place(self, tensor: torch.Tensor) -> int | None:
        known = self._slot_of.get(id(tensor))
        if known is not None and known in self._leaf_slots:
            return None  # a leaf handed back, as requires_grad_ does
        slot = known if known is not None else self._new(tensor)
        self._made.add(slot)
        return slot

    def _new(self, tensor: torch.Tensor) -> int:
        slot, self._slots = self._slots, self._slots + 1
        self._slot_of[id(tensor)] = slot
        self._sharing.setdefault(_storage(tensor), set()).add(slot)
        self._held.append(tensor)
        self._bytes += tensor.numel() * tensor.element_size()
        return slot

    def _slot(self, tensor: torch.Tensor) -> int:
        known = self._slot_of.get(id(tensor))
        return self._new(tensor) if known is None else known

    @property
    def values(self) -> list[torch.Tensor]:
        """What stands in each slot, as the program computed it; gone with ``clear``."""
        return self._held

    def take(self, loss: torch.Tensor) -> Tape:
        """The tape that ends in this loss; recording goes on."""
        end = self._slot_of.get(id(loss))
        if end is None:
            return Tape([], [], [], -1, loss.detach(), 0, "no visible call computed the loss")
        notes = needed(self._notes, end)
        read = frozenset().union(*(note.reads for note in notes)) | {end}
        flaw = next((why for slot, why in self._unexplained.items() if slot in read), "")
        pairs = [
            (leaf, slot)
            for leaf, slot in zip(self._leaves, self._leaf_slots, strict=True)
            if slot in read
        ]
        leaves = [leaf for leaf, _ in pairs]
        slots = [slot for _, slot in pairs]
        return Tape(leaves, slots, notes, end, loss.detach().clone(), self._slots, flaw)


def needed(notes: Sequence[Note], end: int) -> list[Note]:
    """The notes that the value in slot ``end`` depends on, in order."""
    wanted, kept = {end}, []
    for note in reversed(notes):
        if wanted & note.writes:
            wanted |= note.reads
            kept.append(note)
    return kept[::-1]


def _targets(call: Call) -> list[torch.Tensor]:
    """The tensors that the call will write into."""
    targets: list[Any] = [call.kwargs.get("out")]
    if call.name in BUFFER_WRITERS:
        positions = BUFFER_WRITERS[call.name]
        targets += [call.args[at] for at in positions if at < len(call.args)]
        targets += [call.kwargs.get("running_mean"), call.kwargs.get("running_var")]
    elif _is_in_place(call.name):  # torch.nn.init hands its tensor over by name
        targets += _tensors((call.args, call.kwargs))[:1]
    return [one for one in targets if isinstance(one, torch.Tensor)]


def _written(call: Call) -> dict[int, tuple[torch.Tensor, torch.Tensor]]:
    """The tensors that the call will write into, each with a copy of what it holds."""
    return {id(one): (one, one.detach().clone()) for one in _targets(call)}


def _is_in_place(name: str) -> bool:
    """Whether a call of this name writes into its first argument: ``relu_``, ``+=``, ``x[i] =``."""
    return name in IN_PLACE or (name.endswith("_") and not name.endswith("__"))


def _storage(tensor: torch.Tensor) -> int:
    """What tensors that share their memory have in common; some kinds of tensor have no memory."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):
        return -id(tensor)
