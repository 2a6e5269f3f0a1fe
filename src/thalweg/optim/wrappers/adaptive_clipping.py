"""Adaptive gradient clipping: a gradient is long in comparison with the weights it moves.

For each unit, the gradient's length divided by the weights' is what a step of descent changes
relatively, in multiples of lr. It is cut at `clip_factor`:

    g <- g * min(1, clip_factor max(|p|, clip_floor) / |g|)        unit by unit

The floor lets weights that start at zero move away from it.

Convention: a unit is a slice along the first dimension, and a vector is one unit (the paper writes
of the rows of a matrix; its code treats vectors so). The paper leaves the last layer out: give that
layer a param group with `clip_factor=None`.

Reference: Brock, De, Smith & Simonyan (2021), arXiv 2102.06171, eq. 3.
"""

from typing import Any

from torch import clamp, maximum

from thalweg.optim.hyperparameters import define
from thalweg.optim.rule import Rule
from thalweg.optim.wrappers.units import unit_norm

define(
    "clip_factor",
    "the longest gradient let through, in lengths of the weights",
    "> 0, or None",
    lambda x: bool(x > 0),
    optional=True,
)
define("clip_floor", "the length that weights count for at least", "> 0", lambda x: bool(x > 0))


def clip_adaptively(rule: Rule) -> Rule:
    """Shorten each unit's gradient in comparison with its weights. `clip_factor=None` is off."""

    def formula(
        p: Any, g: Any, *state: Any, clip_factor: Any, clip_floor: Any, **hyper: Any
    ) -> Any:
        if clip_factor is not None:
            longest, length = clip_factor * clamp(unit_norm(p), min=clip_floor), unit_norm(g)
            g = g * (longest / maximum(length, longest))
        return rule.formula(p, g, *state, **hyper)

    return rule.wrapped(
        "clip_adaptively",
        formula,
        without=("pointwise", "loss-scale-invariant", "rotation-equivariant"),
        clip_factor=0.01,
        clip_floor=1e-3,
    )
