"""What is measured at a step in full while it can still be replayed.

* ``critical``: the critical rate along the actual update, by forward passes alone.
* ``curvature``: the largest and the smallest eigenvalue of the step's Hessian, at a few steps.
* ``through_time``: how much of the gradient reaches the first element of a sequence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from thalweg.curvature import critical_rate
from thalweg.linalg import lanczos
from thalweg.operators import Hessian
from thalweg.recorder import Step
from thalweg.recorder.anatomy import RECURRENT, plain, unrolled
from thalweg.recorder.tape import Note, Slot, Tape

CURVATURE_STEPS = frozenset({0, 3, 12, 48, 192, 768, 3072})
LARGEST = 3_000_000  # parameters; beyond it a Hessian product costs more than a diagnosis may


def critical(step: Step) -> Mapping[str, Any]:
    """How far the update could have been stretched before the loss rises above where it was."""
    directions = [
        (after.to(torch.float64) - before.to(torch.float64)).to(before.dtype)
        for before, after in zip(step.before, step.after, strict=True)
    ]
    if not all(bool(d.isfinite().all()) for d in directions):
        return {"critical": {"scale": None, "censored": "not finite"}}

    def along(scale: float) -> float:
        moved = [
            (before + scale * d).requires_grad_()
            for before, d in zip(step.before, directions, strict=True)
        ]
        return float(step.loss(moved).detach())

    found = critical_rate(along, dtype=step.before[0].dtype if step.before else torch.float32)
    scale = found.scale if math.isfinite(found.scale) else None
    return {"critical": {"scale": scale, "censored": found.censored}}


def curvature(step: Step) -> Mapping[str, Any]:
    """The ends of the Hessian's spectrum at the parameters before the update."""
    size = sum(one.numel() for one in step.before)
    if step.number not in CURVATURE_STEPS or not 0 < size <= LARGEST:
        return {}
    names = [str(i) for i in range(len(step.before))]
    params = {n: b for n, b in zip(names, step.before, strict=True) if b.is_floating_point()}
    with Hessian(lambda given: step.loss([given[n] for n in names]), params) as hessian:
        ends = lanczos(hessian, max_products=30, tol=1e-2)
        gradient = hessian.gradient
        along = float(gradient @ (hessian @ gradient)) / max(float(gradient @ gradient), 1e-300)
    top, bottom = ends.top[0], ends.bottom[0]
    return {
        "curvature": {
            "largest": top.value,
            "largest_error": top.error,
            "smallest": bottom.value,
            "smallest_error": bottom.error,
            "along_gradient": along,
            "gradient": float(gradient.norm()),
        }
    }


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


PROBES = (critical, curvature, through_time)
