"""Gradient clipping: a bound on what one batch can do.

By the global norm, all gradients together are shortened to `max_norm` and keep their direction; by
the norm of each tensor, every parameter's gradient is shortened to `max_tensor_norm` on its own,
which keeps its direction but not the direction of all together; by value, each entry is cut to
`clip_value`, which turns the direction. `p.grad` itself stays as it was, so that what is logged
after the step is what the loss gave. The gradients are those of the optimizer's parameters, all its
groups together, before any other wrapper has touched them.

Convention: a norm has 1e-6 added before it divides, as in `torch.nn.utils.clip_grad_norm_`.

Reference: Pascanu, Mikolov & Bengio (2013), algorithm 1; `torch.nn.utils.clip_grad_norm_`.
"""

from typing import Any

import torch
from torch import Tensor, clamp

from thalweg.optim.hyperparameters import define
from thalweg.optim.rule import Rule, over_all

define(
    "max_tensor_norm",
    "the longest gradient of one parameter let through",
    "> 0, or None",
    lambda x: bool(x > 0),
    optional=True,
)


def global_norm(g: list[Tensor]) -> Tensor:
    """The Euclidean length of all gradients together, as a 0-d tensor."""
    return torch.nn.utils.get_total_norm(g)


def clip_by_global_norm(rule: Rule) -> Rule:
    """Shorten long gradients: g <- g * min(1, max_norm / norm). `max_norm=None` is off."""

    def formula(
        p: Any, g: Any, *state: Any, gradient_norm: Any, max_norm: Any, **hyper: Any
    ) -> Any:
        if max_norm is not None:
            g = g * clamp(max_norm / (gradient_norm + 1e-6), max=1.0)
        return rule.formula(p, g, *state, **hyper)

    return rule.wrapped(
        "clip_by_global_norm",
        formula,
        without=("loss-scale-invariant",),
        gradient_norm=over_all(global_norm),
        max_norm=1.0,
    )


def clip_by_tensor_norm(rule: Rule) -> Rule:
    """Shorten each parameter's gradient on its own: g <- g * min(1, max_tensor_norm / |g|)."""

    def formula(p: Any, g: Any, *state: Any, max_tensor_norm: Any, **hyper: Any) -> Any:
        if max_tensor_norm is not None:
            g = g * clamp(max_tensor_norm / (torch.linalg.vector_norm(g) + 1e-6), max=1.0)
        return rule.formula(p, g, *state, **hyper)

    return rule.wrapped(
        "clip_by_tensor_norm",
        formula,
        without=("pointwise", "loss-scale-invariant"),
        max_tensor_norm=1.0,
    )


def clip_by_value(rule: Rule) -> Rule:
    """Cut every entry to [-clip_value, clip_value]. `clip_value=None` is off."""

    def formula(p: Any, g: Any, *state: Any, clip_value: Any, **hyper: Any) -> Any:
        if clip_value is not None:
            g = clamp(g, min=-clip_value, max=clip_value)
        return rule.formula(p, g, *state, **hyper)

    return rule.wrapped(
        "clip_by_value",
        formula,
        without=("loss-scale-invariant", "rotation-equivariant"),
        clip_value=1.0,
    )
