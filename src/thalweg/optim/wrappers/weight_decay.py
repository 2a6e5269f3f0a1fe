"""Weight decay: coupled (L2), decoupled, or either by choice.

Coupled, the decay is the gradient of the penalty (weight_decay / 2) |p|^2 and passes through the
rule as any gradient does; decoupled, the parameter shrinks by lr * weight_decay on its own. For
plain gradient descent both are the same; for Adam they are not, because a coupled decay is divided
by the root of the second moment: coordinates with large gradients decay less.

Reference: Hanson & Pratt (1988) for the penalty; Loshchilov & Hutter (2019), algorithm 2, for the
decoupling (with PyTorch's convention: the decay is multiplied by the learning rate).
"""

from typing import Any

from torch import add

from thalweg.optim.rule import Rule


def l2(rule: Rule) -> Rule:
    """Add the penalty's gradient: g <- g + weight_decay * p."""

    def formula(p: Any, g: Any, *state: Any, weight_decay: Any, **hyper: Any) -> Any:
        g = add(g, p, alpha=weight_decay) if weight_decay else g
        return rule.formula(p, g, *state, **hyper)

    return rule.wrapped("l2", formula, without=("loss-scale-invariant",), weight_decay=0.0)


def decoupled(rule: Rule) -> Rule:
    """Shrink the parameter first: p <- p - lr * weight_decay * p."""

    def formula(p: Any, g: Any, *state: Any, lr: Any, weight_decay: Any, **hyper: Any) -> Any:
        p = p * (1 - lr * weight_decay) if weight_decay else p
        return rule.formula(p, g, *state, lr=lr, **hyper)

    return rule.wrapped("decoupled", formula, weight_decay=0.0)


def weight_decay(rule: Rule) -> Rule:
    """Either way, by the hyperparameter `decoupled_weight_decay`."""
    ways = {False: l2(rule).formula, True: decoupled(rule).formula}

    def formula(p: Any, g: Any, *state: Any, decoupled_weight_decay: Any, **hyper: Any) -> Any:
        return ways[bool(decoupled_weight_decay)](p, g, *state, **hyper)

    return rule.wrapped(
        "weight_decay",
        formula,
        without=("loss-scale-invariant",),
        weight_decay=0.0,
        decoupled_weight_decay=False,
    )
