"""Schedule-Free: an average of the iterates takes the place of a falling learning rate.

Idea: three sequences. The rule steps on z, with the gradient taken at y; x averages z; y lies
between z and x:

    y_t = (1 - beta) z_t + beta x_t
    z_(t+1) = the rule's step from z_t along the gradient at y_t
    x_(t+1) = (1 - c) x_t + c z_(t+1),    c = w_t / (w_1 + ... + w_t)

The parameter holds y, where gradients are wanted; the model is to be evaluated at x. With constant
weights x is the mean of all z so far; the average converges at the rate that a schedule made for
the right number of steps would, without knowing the number.

Formula, as it is computed, with neither x nor a second copy of it in memory:

    y <- (1 - c) y + c z + (1 - beta (1 - c)) (z_new - z)

Why: beta = 0 is Polyak's averaging (y = z), beta = 1 primal averaging (y = x); 0.9 keeps the first
one's speed and the second one's calm. It does what momentum does, so the rule below should have
none: `betas=(0.0, b2)` for Adam.

When: the number of steps is not known beforehand, or runs are to be stopped and continued at will;
or one schedule less is to be tuned. Whoever evaluates must turn to the average first.

Convention: those of the paper's algorithm 1 and of its authors' package: the learning rate is
warmed up linearly over `warmup_steps`; w_t = t^r (largest lr so far)^weight_lr_power. Weight decay
is taken at y, where the gradient is, or at z with `decay_at_z`; either way it is decoupled, and
multiplied by the warmed-up lr.

Reference: Defazio, Yang, Mehta, Mishchenko, Khaled & Cutkosky (2024), arXiv 2405.15682, eqs. 3-5
and algorithm 1.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, add, lerp

from thalweg.optim.hyperparameters import define
from thalweg.optim.rule import Rule, Slot, slot

define(
    "interpolation",
    "how far the point where gradients are taken lies from z towards the average",
    "in (0, 1]",
    lambda x: bool(0 < x <= 1),
)
define("warmup_steps", "over how many steps lr rises to its value", ">= 0", lambda x: bool(x >= 0))
define("r", "how fast the weights of later iterates in the average grow with t")
define("weight_lr_power", "how fast the weights in the average grow with the largest lr")
define("decay_at_z", "take weight decay at z instead of y", switch=True)


DOC = __doc__ or ""


def _number(p: Tensor) -> Tensor:
    return torch.zeros((), dtype=torch.float64)


def _slots() -> dict[str, Slot]:
    return {
        "z": slot("z", torch.clone),
        "weight_sum": slot("weight_sum", _number, scalar=True),
        "lr_max": slot("lr_max", _number, scalar=True),
    }


def schedule_free(rule: Rule, beta: str = "interpolation") -> Rule:
    """Let the rule walk on z and average where it goes.

    Args:
        rule: should have no momentum of its own.
        beta: the hyperparameter that says how far y lies from z towards x: a number, or a pair
            of which the first is meant (the rule must then not use that one itself).
    """

    def formula(
        p: Any, g: Any, *state: Any, t: Any, lr: Any, warmup_steps: Any, r: Any,
        weight_lr_power: Any, weight_decay: Any, decay_at_z: Any, **hyper: Any,
    ) -> Any:  # fmt: skip
        *inner, z, weight_sum, lr_max = state
        b = _first(hyper[beta])
        own = {k: v for k, v in hyper.items() if k in rule.hyperparameters or k in rule.summaries}
        counted = {"t": t} if rule.counts_steps else {}
        lr = lr * min(1.0, t / warmup_steps) if warmup_steps else lr
        lr_max = max(float(lr_max), float(lr))
        weight = t**r * lr_max**weight_lr_power
        weight_sum = float(weight_sum) + weight
        c = weight / weight_sum if weight_sum else 0.0
        z_new, *new = rule.formula(z, g, *inner, lr=lr, **counted, **own)
        if weight_decay:
            z_new = add(z_new, z if decay_at_z else p, alpha=-lr * weight_decay)
        y = add(lerp(p, z, c), z_new - z, alpha=1 - b * (1 - c))
        return y, *new, z_new, weight_sum, lr_max

    settings: dict[str, Any] = {} if beta in rule.hyperparameters else {beta: 0.9}
    wrapped = rule.wrapped(
        "schedule_free",
        formula,
        slots=_slots(),
        counts_steps=True,
        warmup_steps=0,
        r=0.0,
        weight_lr_power=2.0,
        weight_decay=0.0,
        decay_at_z=False,
        **settings,
    )

    def average(p: Tensor, state: Mapping[str, Any], hyper: Mapping[str, Any]) -> Tensor:
        return torch.lerp(p, state["z"], 1 - 1 / _first(hyper[beta]))

    return replace(wrapped, average=average)


def _first(beta: Any) -> Any:
    return beta[0] if isinstance(beta, tuple) else beta
