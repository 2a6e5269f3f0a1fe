"""How much of the minibatch gradient is noise, and what the update does to other batches.

The batches of the last steps in full are played again at the parameters of this step: K gradients g
of the same loss, of which this update used one. With T the mean of |g - mean|^2 (over K - 1) and M
= |mean|^2 - T / K, the ratio T / M is the noise scale of McCandlish et al. (arXiv 1812.06162) in
batches: how many of them would have to be averaged until the noise is as long as the gradient. The
same batches say what the update does to data that it was not made of.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from thalweg.curvature.noise_scale import FEWEST, Moments, estimated
from thalweg.recorder import Step, Tape
from thalweg.recorder.replay import replayed

FIRST = 8  # step; before there are too few batches
LARGEST = 3_000_000  # parameters of which gradients are kept, one a batch
CONFIDENCE = 0.95


def noise(step: Step) -> Mapping[str, Any]:
    """The gradient noise scale in batches, and the fall of the loss on this batch and on others."""
    batches = [*step.earlier, step.tapes]
    size = sum(one.numel() for one in step.before)
    at_power = step.number & (step.number - 1) == 0
    if step.number < FIRST or not at_power or len(batches) < FEWEST or size > LARGEST:
        return {}
    gradients = torch.stack([_gradient(step, tapes) for tapes in batches])
    if not gradients.isfinite().all():
        return {}
    mean = gradients.mean(0)
    moments = Moments(
        torch.ones(len(batches), dtype=torch.float64),
        gradients.square().sum(1),
        gradients @ mean,
        float(mean @ mean),
    )
    found = estimated(moments, CONFIDENCE)
    falls = [_fall(step, tapes) for tapes in batches]
    return {
        "noise": {
            "batches": len(batches),
            "scale": _finite(found.value),
            "lower": found.lower,
            "upper": _finite(found.upper),
            "own_fall": _finite(falls[-1]),
            "others_fall": _finite(sum(falls[:-1]) / len(falls[:-1])),
        }
    }


def _gradient(step: Step, tapes: list[Tape]) -> torch.Tensor:
    """Of one batch's loss at the parameters before the update; flat, float64."""
    values = [one.detach().clone().requires_grad_(one.is_floating_point()) for one in step.before]
    own = [one for one in values if one.requires_grad]
    given = {id(leaf): value for leaf, value in zip(step.leaves, values, strict=True)}
    found = torch.autograd.grad(replayed(tapes, given), own, materialize_grads=True)
    return torch.cat([one.detach().to("cpu", torch.float64).flatten() for one in found])


def _fall(step: Step, tapes: list[Tape]) -> float:
    """By how much the update lowers one batch's loss."""

    def at(values: list[torch.Tensor]) -> float:
        given = {
            id(leaf): value.detach().requires_grad_(value.is_floating_point())
            for leaf, value in zip(step.leaves, values, strict=True)
        }
        return float(replayed(tapes, given).detach())

    return at(step.before) - at(step.after)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
