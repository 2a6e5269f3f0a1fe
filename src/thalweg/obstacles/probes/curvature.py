"""The Hessian of a step: its ends, what kind of point it is, and where gain is still to be had."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from thalweg.curvature import Method, Preconditioned
from thalweg.curvature.critical_point import verdict
from thalweg.curvature.optimizers import InUse, NotRead, in_use
from thalweg.linalg import Extremes, gain_conditioning, lanczos
from thalweg.operators import Hessian
from thalweg.recorder import Step

CURVATURE_STEPS = frozenset({0, 3, 12, 48, 192, 768, 3072})
LARGEST = 3_000_000  # parameters; beyond it a Hessian product costs more than a diagnosis may
GAIN_STEPS = frozenset({12, 192, 3072})
PRODUCTS, FEWER = 30, 15  # for the ends of the spectrum; for each of the other two questions
CRITICAL, FLAT = 1e-4, 1e-2  # `curvature.critical_point`'s own defaults
SLOW = 100.0  # steps of stable descent that a share of the gain needs at least


def curvature(step: Step) -> Mapping[str, Any]:
    """The curvature at the parameters before the update."""
    size = sum(one.numel() for one in step.before)
    if step.number not in CURVATURE_STEPS or not 0 < size <= LARGEST:
        return {}
    names = [str(i) for i in range(len(step.before))]
    params = {n: b for n, b in zip(names, step.before, strict=True) if b.is_floating_point()}
    with Hessian(lambda given: step.loss([given[n] for n in names]), params) as hessian:
        ends = lanczos(hessian, max_products=PRODUCTS, tol=1e-2)
        gradient = hessian.gradient
        along = float(gradient @ (hessian @ gradient)) / max(float(gradient @ gradient), 1e-300)
        scale = max(1.0, float(hessian.place.norm()))
        kind, why = verdict(float(gradient.norm()), abs(hessian.loss), scale, ends, CRITICAL, FLAT)
        found = {
            "largest": ends.top[0].value,
            "largest_error": ends.top[0].error,
            "smallest": ends.bottom[0].value,
            "smallest_error": ends.bottom[0].error,
            "along_gradient": along,
            "gradient": float(gradient.norm()),
            "point": kind,
            "why": why,
            **(_to_gain(hessian, gradient) if step.number in GAIN_STEPS else {}),
            **_limit(step, names, hessian, ends),
        }
    return {"curvature": found}


def _to_gain(hessian: Hessian, gradient: Tensor) -> dict[str, Any]:
    """The conditioning weighted by what is still to be gained; nothing without a gradient."""
    if not float(gradient.norm()) > 0:
        return {}
    found = gain_conditioning(hessian, gradient, products=FEWER)
    number = found.number
    return {
        "gain_condition": number if math.isfinite(number) else None,
        "slow_gain": found.share_beyond(SLOW),
        "unresolved": found.unresolved,
    }


def _limit(step: Step, names: list[str], hessian: Hessian, ends: Extremes) -> dict[str, Any]:
    """The largest curvature that the optimizer sees, times its rate, over its own limit."""
    used = _in_use(step, names)
    if used is None:
        return {}
    largest = ends.top[0].value
    if used.diagonal is not None:
        if used.diagonal.shape != (hessian.size,):
            return {}
        seen = Preconditioned(hessian, used.diagonal.to(hessian.device, hessian.dtype))
        largest = lanczos(seen, ends="largest", max_products=FEWER, tol=5e-2).top[0].value
    limit = Method(used.method, used.momentum).limit
    return {"reach": used.rate * largest / limit, "limit": limit, "method": used.method}


def _in_use(step: Step, names: list[str]) -> InUse | None:
    """The method that makes the step; None where its limit is not known."""
    if step.optimizer is None:
        return None
    floating = [
        (n, leaf) for n, leaf in zip(names, step.leaves, strict=True) if leaf.is_floating_point()
    ]
    params: dict[str, torch.Tensor] = dict(floating)
    try:
        return in_use(step.optimizer, params)
    except (NotRead, KeyError):
        return None
