"""Weight rescaling: before each step every weight is multiplied by a number little below 1.

    p <- rescaling p

It is weight decay in its oldest form. With rescaling = 1 - lr * weight_decay it is decoupled weight
decay, and for plain gradient descent the L2 penalty; but it does not follow a learning rate that
changes.

Reference: Hinton (1989), Connectionist learning procedures, section 6; Hanson & Pratt (1988).
"""

from typing import Any

from thalweg.optim.hyperparameters import define
from thalweg.optim.rule import Rule

define("rescaling", "what weights are multiplied by", "in (0, 1]", lambda x: bool(0 < x <= 1))


def rescaled(rule: Rule) -> Rule:
    """Shrink the parameter first, whatever the learning rate: p <- rescaling * p."""

    def formula(p: Any, g: Any, *state: Any, rescaling: Any, **hyper: Any) -> Any:
        p = p if rescaling == 1 else p * rescaling
        return rule.formula(p, g, *state, **hyper)

    return rule.wrapped("rescaled", formula, rescaling=1.0)
