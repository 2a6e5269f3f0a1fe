"""How much of the gradient reaches the first element of a sequence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from thalweg.recorder import Step
from thalweg.recorder.anatomy import RECURRENT, plain, unrolled
from thalweg.recorder.tape import Note, Slot, Tape


def through_time(step: Step) -> Mapping[str, Any]:
    """The gradient that reaches the first element of a sequence, over the largest that one gets.

    For a fused recurrent layer the elements are those of its input, along its axis of time; for a
    loop over a cell, what the cell's recurrent matrix gives at each round.
    """
    tape = step.tapes[-1]
    before = {id(leaf): value for leaf, value in zip(step.leaves, step.before, strict=True)}
    leaves = [before[id(leaf)].detach().requires_grad_() for leaf in tape.leaves]
    fused = next((n for n in tape.notes if plain(n.name) in RECURRENT), None)
    if fused is not None:
        return _through_fused(tape, leaves, fused)
    loop = unrolled(tape)
    if loop is None:
        return {}
    memory = tape.play(leaves)
    given = [memory[slot] for slot in loop.outputs if memory[slot].requires_grad]
    found = torch.autograd.grad(memory[tape.loss_slot], given, allow_unused=True)
    norms = [0.0 if one is None else float(one.double().norm()) for one in found]
    return {"through_time": _first_over_largest(norms), "unrolled": loop.matrix}


def _through_fused(tape: Tape, leaves: list[torch.Tensor], note: Note) -> Mapping[str, Any]:
    data = note.args[0]
    if isinstance(data, Slot):
        memory = tape.play(leaves)
        given, loss = memory[data.index], memory[tape.loss_slot]
    elif isinstance(data, torch.Tensor) and data.is_floating_point():
        given = data.detach().clone().requires_grad_()
        loss = tape.play(leaves, {id(data): given})[tape.loss_slot]
    else:
        return {}
    if given.dim() != 3 or not given.requires_grad:
        return {}
    (gradient,) = torch.autograd.grad(loss, given)
    others = (0, 2) if note.args[-1] is True else (1, 2)  # whether the batch stands first
    norms = gradient.detach().to(torch.float64).square().sum(others).sqrt()
    return {"through_time": _first_over_largest(norms.tolist())}


def _first_over_largest(norms: list[float]) -> float | None:
    top = max(norms, default=0.0)
    return norms[0] / top if 0 < top < math.inf else None
