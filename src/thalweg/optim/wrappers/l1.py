"""L1 regularization: the penalty l1_penalty * sum |p|, which draws weights to exactly zero.

By the subgradient, g <- g + l1_penalty sign(p), the penalty passes through the rule as any gradient
does; weights come near zero and jump across it. By the proximal form, the step is made without the
penalty and then every weight is drawn towards zero by lr * l1_penalty and stops there:

    p <- sign(p) max(|p| - lr l1_penalty, 0)

so that weights become exactly zero; after plain gradient descent this is iterative soft
thresholding, with the minimizer of loss + penalty as its fixed point.

Convention: the proximal form takes the same threshold for all coordinates, also where the rule
gives each coordinate a step of its own (as decoupled weight decay does), so that under Adam it
minimizes the penalty weighted by Adam's scaling.

Reference: Tibshirani (1996); Daubechies, Defrise & De Mol (2004) for the soft threshold.
"""

from typing import Any

from torch import add, clamp, sign

from thalweg.optim.hyperparameters import define
from thalweg.optim.rule import Rule

define("l1_penalty", "how strongly weights are drawn to zero", ">= 0", lambda x: bool(x >= 0))
define("proximal", "let the L1 penalty act on the parameters", switch=True)


def soft_threshold(p: Any, threshold: Any) -> Any:
    """What is left of p when its size is lowered by the threshold, but not below zero."""
    return sign(p) * clamp(abs(p) - threshold, min=0.0)


def l1(rule: Rule) -> Rule:
    """Penalize |p|: through the gradient, or by a soft threshold after the step if `proximal`."""

    def formula(
        p: Any, g: Any, *state: Any, lr: Any, l1_penalty: Any, proximal: Any, **hyper: Any
    ) -> Any:
        if not proximal:
            g = add(g, sign(p), alpha=l1_penalty) if l1_penalty else g
            return rule.formula(p, g, *state, lr=lr, **hyper)
        p, *new = rule.formula(p, g, *state, lr=lr, **hyper)
        return soft_threshold(p, lr * l1_penalty) if l1_penalty else p, *new

    return rule.wrapped(
        "l1",
        formula,
        without=("loss-scale-invariant", "rotation-equivariant"),
        l1_penalty=0.0,
        proximal=False,
    )
