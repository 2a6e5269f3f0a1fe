"""Weight decay: coupled (L2), decoupled, or either by choice.

Coupled, the decay is the gradient of the penalty (weight_decay / 2) |p|^2 and passes through the
rule as any gradient does; decoupled, the parameter shrinks by lr * weight_decay on its own. For
plain gradient descent both are the same; for Adam they are not, because a coupled decay is divided
by the root of the second moment: coordinates with large gradients decay less.

Convention: decoupled decay is multiplied by the learning rate, as in PyTorch. Loshchilov & Hutter
multiply it by the schedule alone, so that the best decay does not change with the learning rate:
that is `decoupled_from_lr`, where a decay is about 1000 times smaller.

Reference: Hanson & Pratt (1988) for the penalty; Loshchilov & Hutter (2019), algorithm 2, for the
decoupling.
"""

from collections.abc import Mapping
from typing import Any

from torch import add

from thalweg.optim.hyperparameters import define
from thalweg.optim.rule import Rule

define(
    "peak_lr",
    "the learning rate at which decay is at full strength",
    "> 0, or None",
    lambda x: bool(x > 0),
    optional=True,
)


def _without_decay(hyper: Mapping[str, Any]) -> bool:
    return not hyper["weight_decay"]  # otherwise rows without gradient shrink too


def l2(rule: Rule) -> Rule:
    """Add the penalty's gradient: g <- g + weight_decay * p."""

    def formula(p: Any, g: Any, *state: Any, weight_decay: Any, **hyper: Any) -> Any:
        g = add(g, p, alpha=weight_decay) if weight_decay else g
        return rule.formula(p, g, *state, **hyper)

    return rule.wrapped(
        "l2", formula, without=("loss-scale-invariant",), rows=_without_decay, weight_decay=0.0
    )


def decoupled(rule: Rule) -> Rule:
    """Shrink the parameter first: p <- p - lr * weight_decay * p."""

    def formula(p: Any, g: Any, *state: Any, lr: Any, weight_decay: Any, **hyper: Any) -> Any:
        p = p * (1 - lr * weight_decay) if weight_decay else p
        return rule.formula(p, g, *state, lr=lr, **hyper)

    return rule.wrapped("decoupled", formula, rows=_without_decay, weight_decay=0.0)


def decoupled_from_lr(rule: Rule) -> Rule:
    """Shrink the parameter first: p <- p - (lr / peak_lr) weight_decay p.

    lr / peak_lr is the paper's schedule multiplier. With `peak_lr=None` it is 1: the decay does not
    follow the learning rate at all.
    """

    def formula(
        p: Any, g: Any, *state: Any, lr: Any, weight_decay: Any, peak_lr: Any, **hyper: Any
    ) -> Any:
        if weight_decay:
            p = p * (1 - (1.0 if peak_lr is None else lr / peak_lr) * weight_decay)
        return rule.formula(p, g, *state, lr=lr, **hyper)

    return rule.wrapped("decoupled_from_lr", formula, weight_decay=0.0, peak_lr=None)


def weight_decay(rule: Rule) -> Rule:
    """Either way, by the hyperparameter `decoupled_weight_decay`."""
    ways = {False: l2(rule).formula, True: decoupled(rule).formula}

    def formula(p: Any, g: Any, *state: Any, decoupled_weight_decay: Any, **hyper: Any) -> Any:
        return ways[bool(decoupled_weight_decay)](p, g, *state, **hyper)

    return rule.wrapped(
        "weight_decay",
        formula,
        without=("loss-scale-invariant",),
        rows=_without_decay,
        weight_decay=0.0,
        decoupled_weight_decay=False,
    )
