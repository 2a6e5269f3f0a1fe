"""A step in full: the row that is written about it, and what a probe is given of it.

Steps in full are spaced two to the octave (0, 1, 2, 3, 4, 6, 8, 12, 16 ...), so that a run of any
length has its beginning resolved and costs a bounded number of them: about 2 log2(steps).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.optim.optimizer import Optimizer

from thalweg.recorder.names import by_shape
from thalweg.recorder.replay import replayed
from thalweg.recorder.statistics import anatomy, number, parameter
from thalweg.recorder.tape import Tape

MOST_EARLIER, MOST_BYTES = 8, 8 << 20  # steps kept for comparison, and what each may take
FREE_SECONDS = 5.0  # that probes may take in any case


def in_full(step: int) -> bool:
    """Whether this step is written down in full: two steps to the octave."""
    if step < 4:
        return True
    power = 1 << (step.bit_length() - 1)
    return step in (power, power + power // 2)


@dataclass
class Step:
    """One step while it can still be replayed; what a probe is given.

    Attributes:
        number: How many updates of this optimizer came before.
        optimizer: Who made the update; None if the program did.
        tapes: One for each backward pass since the last update.
        leaves: Every leaf that the tapes depend on.
        before: The leaves' values before the update, in the order of ``leaves``.
        after: Their values after it.
        earlier: The tapes of earlier steps in full, which saw other batches; the last ones.
    """

    number: int
    optimizer: Optimizer | None
    tapes: list[Tape]
    leaves: list[torch.Tensor]
    before: list[torch.Tensor]
    after: list[torch.Tensor]
    earlier: Sequence[list[Tape]] = ()

    def loss(self, values: Sequence[torch.Tensor]) -> torch.Tensor:
        """The step's loss (the sum over its backward passes) with the leaves at these values.

        Raises:
            TapeError: If the step cannot be replayed.
        """
        given = {id(leaf): value for leaf, value in zip(self.leaves, values, strict=True)}
        return replayed(self.tapes, given)

    @property
    def flaw(self) -> str:
        """Why the step cannot be replayed; empty if it can."""
        return next((tape.flaw for tape in self.tapes if tape.flaw), "")


class Earlier:
    """The tapes of the last steps in full of each optimizer, as far as they fit into memory.

    A tape keeps the batch that its step was given, and none of the activations.
    """

    def __init__(self) -> None:
        self._kept: dict[int, deque[list[Tape]]] = {}

    def of(self, optimizer: int) -> list[list[Tape]]:
        """Those of one optimizer, the latest last."""
        return list(self._kept.get(optimizer, ()))

    def keep(self, optimizer: int, tapes: list[Tape]) -> None:
        """Keep one more step, and let the oldest go."""
        if not any(tape.flaw for tape in tapes) and sum(map(_bytes, tapes)) <= MOST_BYTES:
            self._kept.setdefault(optimizer, deque(maxlen=MOST_EARLIER)).append(tapes)


def _bytes(tape: Tape) -> int:
    """What the constants of a tape take."""
    held = {id(x): x for note in tape.notes for x in note.args if isinstance(x, torch.Tensor)}
    return sum(x.numel() * x.element_size() for x in held.values())


Probe = Callable[[Step], Mapping[str, Any]]


class Measuring:
    """Measures of a step that fail are noted and never break the program.

    Probes take no more time than the program itself, but for the first seconds: those that come
    after are left out until the program has caught up.

    Attributes:
        trouble: What went wrong, in words.
    """

    def __init__(self) -> None:
        self.trouble: list[str] = []
        self._began, self._spent = time.perf_counter(), 0.0

    @property
    def _affordable(self) -> bool:
        elapsed = time.perf_counter() - self._began
        return self._spent <= max(FREE_SECONDS, elapsed / 2)

    def guarded(self, what: str, measure: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """What was measured; nothing, and a note, if that failed."""
        try:
            return dict(measure())
        except Exception as error:
            self.trouble.append(f"{what}: {type(error).__name__}: {error}")
            return {}

    def row(
        self,
        step: Step,
        gradients: Sequence[torch.Tensor | None],
        values: list[torch.Tensor],
        names: Sequence[str],
        trained: Collection[int],
        probes: Sequence[Probe],
    ) -> dict[str, Any]:
        """Everything about a step, as plain data.

        Args:
            step: The step.
            gradients: Of its leaves, as the update found them.
            values: What the last tape's slots held.
            names: Of its leaves.
            trained: Identities of the leaves that somebody updates.
            probes: What else is to be measured.
        """
        row: dict[str, Any] = {"step": step.number, "flaw": step.flaw, "passes": len(step.tapes)}
        row["loss"] = number(sum((one.value for one in step.tapes[1:]), step.tapes[0].value))
        row |= {"parameters": [], "layers": [], "activations": [], "operations": [], "ending": None}
        row |= self.guarded("parameters", lambda: _parameters(step, gradients, names, trained))
        with torch.enable_grad():
            row |= self.guarded("anatomy", lambda: _anatomy(step, values, names))
            row["probes"] = {}
            began = time.perf_counter()
            for probe in [] if step.flaw or not self._affordable else probes:
                row["probes"] |= self.guarded(_name(probe), partial(probe, step))
            self._spent += time.perf_counter() - began
        return row


def _parameters(
    step: Step,
    gradients: Sequence[torch.Tensor | None],
    names: Sequence[str],
    trained: Collection[int],
) -> dict[str, Any]:
    rows = zip(step.leaves, names, step.before, gradients, step.after, strict=True)
    return {
        "parameters": [
            parameter(name, before, gradient, after) | {"trained": id(leaf) in trained}
            for leaf, name, before, gradient, after in rows
        ]
    }


def _anatomy(step: Step, values: list[torch.Tensor], names: Sequence[str]) -> dict[str, Any]:
    """Of the last backward pass."""
    known = dict(zip(map(id, step.leaves), zip(step.before, names, strict=True), strict=True))
    # a closure may differentiate for leaves that no optimizer has, such as its inputs
    own = [known.get(id(x), (x.detach(), by_shape(x))) for x in step.tapes[-1].leaves]
    return anatomy(step.tapes[-1], [x for x, _ in own], values, [name for _, name in own])


def _name(probe: Probe) -> str:
    return getattr(probe, "__name__", type(probe).__name__)
