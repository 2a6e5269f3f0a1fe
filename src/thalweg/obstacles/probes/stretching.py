"""The critical rate along the actual update, by forward passes alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from thalweg.curvature import critical_rate
from thalweg.recorder import Step


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
