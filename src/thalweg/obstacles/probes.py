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

from thalweg.curvature import Hessian, critical_rate
from thalweg.linalg import lanczos
from thalweg.recorder import Step
from thalweg.recorder.anatomy import RECURRENT, plain
from thalweg.recorder.tape import Slot, Tape

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
    """The gradient that reaches the first element of a sequence, over what the last one gets."""
    tape = step.tapes[-1]
    note = next((n for n in tape.notes if plain(n.name) in RECURRENT), None)
    data = note.args[0] if note is not None else None
    if not isinstance(data, torch.Tensor) or data.dim() != 3 or not data.is_floating_point():
        return _through_embedding(tape)
    variable = data.detach().clone().requires_grad_()
    loss = tape.play([], {id(data): variable})[tape.loss_slot]
    (gradient,) = torch.autograd.grad(loss, variable)
    return {"through_time": _ratio(gradient)}


def _through_embedding(tape: Tape) -> Mapping[str, Any]:
    """For a recurrent layer after an embedding: the gradient of what the embedding gives."""
    note = next((n for n in tape.notes if plain(n.name) in RECURRENT), None)
    if note is None or not isinstance(note.args[0], Slot):
        return {}
    memory = tape.play([leaf.detach().requires_grad_() for leaf in tape.leaves])
    given, loss = memory[note.args[0].index], memory[tape.loss_slot]
    if given.dim() != 3 or not given.requires_grad:
        return {}
    (gradient,) = torch.autograd.grad(loss, given)
    return {"through_time": _ratio(gradient)}


def _ratio(gradient: torch.Tensor) -> float | None:
    """First over last along the axis of time (the longer of the first two is taken to be time)."""
    norms = gradient.detach().to(torch.float64).square().sum((0, 2)).sqrt()
    other = gradient.detach().to(torch.float64).square().sum((1, 2)).sqrt()
    norms = min(norms, other, key=lambda n: float(n[0] / n.max()) if float(n.max()) else 1.0)
    top = float(norms.max())
    return float(norms[0]) / top if top > 0 and math.isfinite(top) else None


PROBES = (critical, curvature, through_time)
