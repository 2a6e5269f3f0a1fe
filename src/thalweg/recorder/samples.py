"""A step in full: the row that is written about it, and what a probe is given of it.

Steps in full are spaced two to the octave (0, 1, 2, 3, 4, 6, 8, 12, 16 ...), so that a run of any
length has its beginning resolved and costs a bounded number of them: about 2 log2(steps).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.optim.optimizer import Optimizer

from thalweg.recorder.replay import replayed
from thalweg.recorder.statistics import anatomy, number, parameter
from thalweg.recorder.tape import Tape


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
    """

    number: int
    optimizer: Optimizer | None
    tapes: list[Tape]
    leaves: list[torch.Tensor]
    before: list[torch.Tensor]
    after: list[torch.Tensor]

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


Probe = Callable[[Step], Mapping[str, Any]]


class Measuring:
    """Measures of a step that fail are noted and never break the program.

    Attributes:
        trouble: What went wrong, in words.
    """

    def __init__(self) -> None:
        self.trouble: list[str] = []

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
            for probe in [] if step.flaw else probes:
                row["probes"] |= self.guarded(_name(probe), partial(probe, step))
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
    place = {id(leaf): at for at, leaf in enumerate(step.leaves)}
    own = [place[id(leaf)] for leaf in step.tapes[-1].leaves]
    before, called = [step.before[at] for at in own], [names[at] for at in own]
    return anatomy(step.tapes[-1], before, values, called)


def _name(probe: Probe) -> str:
    return getattr(probe, "__name__", type(probe).__name__)
