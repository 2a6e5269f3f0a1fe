"""Proximal weight decay: the parameter shrinks after the step, by the penalty's exact minimum.

    p <- p' / (1 + lr weight_decay)        p': where the rule's step leads

Of all points, this is the one that minimizes |p - p'|^2 / (2 lr) + weight_decay |p|^2 / 2. For
small lr * weight_decay it is the decoupled decay; it stays stable for large ones.

Reference: Parikh & Boyd (2014), section 6.1.1; Xie et al. (2022), arXiv 2208.06677, algorithm 1,
line 7, for its use after an adaptive step.
"""

from typing import Any

from thalweg.optim.rule import Rule


def proximal(rule: Rule) -> Rule:
    """Shrink the parameter after the step: p <- p / (1 + lr * weight_decay)."""

    def formula(p: Any, g: Any, *state: Any, lr: Any, weight_decay: Any, **hyper: Any) -> Any:
        p, *new = rule.formula(p, g, *state, lr=lr, **hyper)
        return (p / (1 + lr * weight_decay) if weight_decay else p), *new

    return rule.wrapped("proximal", formula, weight_decay=0.0)
