"""Run a training program alone or under listeners, and keep everything that it can be told by."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from training_programs import Program

from thalweg.recorder import Listener, Recorder, Recording, Session, Step, Tape

SEED = 20_240


@dataclass
class Outcome:
    """What a program said, what it ended with, and the random state and warnings that it left."""

    said: list[str]
    ends: list[torch.Tensor]
    random: torch.Tensor
    warnings: list[str]


@dataclass
class Kept(Listener):
    """Keeps the tapes and gradients of every step while they can be looked at."""

    steps: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, step: Step) -> dict[str, Any]:
        self.steps.append({"step": step})
        return {}


def run(program: Program, listeners: Sequence[Listener] = ()) -> Outcome:
    """The program from a fixed seed."""
    said: list[str] = []
    torch.manual_seed(SEED)
    torch.set_warn_always(True)  # else the second run would warn less than the first
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with Session(list(listeners)) if listeners else nullcontext():
            ends = [one.detach().clone() for one in program(lambda x: said.append(repr(x)))]
    torch.set_warn_always(False)
    return Outcome(said, ends, torch.get_rng_state(), [str(one.message) for one in heard])


def same(left: Outcome, right: Outcome) -> None:
    """Everything equal bit for bit."""
    assert left.said == right.said
    assert len(left.ends) == len(right.ends)
    for one, other in zip(left.ends, right.ends, strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other) or (one != one).equal(other != other)
    assert torch.equal(left.random, right.random)
    assert left.warnings == right.warnings


def recorded(
    program: Program, folder: Path, probes: Sequence[Any] = (), **options: Any
) -> tuple[Outcome, Recording]:
    """The program under a recorder in full, and what was recorded."""
    recorder = Recorder(folder, Path(__file__).parent, probes, **options)
    outcome = run(program, [recorder])
    return outcome, Recording.read(folder)


def samples(folder: Path) -> list[dict[str, Any]]:
    """The lines of the steps in full, read strictly."""

    def never(name: str) -> float:
        raise ValueError(f"{name} is no JSON")

    lines = (folder / "samples.jsonl").read_text().splitlines()
    return [json.loads(line, parse_constant=never) for line in lines]


def gradient(tape: Tape) -> list[torch.Tensor | None]:
    """The gradient of a tape's loss at the parameters as they are."""
    values = [leaf.detach().clone().requires_grad_() for leaf in tape.leaves]
    return list(torch.autograd.grad(tape.loss(values), values, allow_unused=True))
