"""MARS: gradients whose noise is reduced by the last step's.

The rule is given, in place of g, the corrected gradient

    c = g + mars_gamma b1 / (1 - b1) (g - g_last)
    c <- c / max(1, |c| / max_corrected_norm)

with b1 the rule's own memory of gradients (betas[0], or momentum) and the norm over the tensor.
With mars_gamma = 1 and both gradients on the same batch this is STORM's recursive momentum; here
g_last is the gradient of the last step as it was then, on its own batch, which is the paper's
MARS-approx and costs one copy of the gradient and no second backward pass.

`mars_start` says what g_last is at a parameter's first step: "zero" (the authors' code, where c is
longer than g then), or "gradient" (timm: c = g). `max_corrected_norm=None` leaves the shortening
out. MARS-AdamW is `decoupled(mars(adam))` with betas=(0.95, 0.99).

Sharding: the norm is of the whole tensor; the engine gathers sharded parameters before the step.

Reference: Yuan et al. (2024), arXiv 2411.10438, algorithms 1 and 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import clamp
from torch.linalg import vector_norm

from thalweg.optim.hyperparameters import define
from thalweg.optim.rule import Rule, slot

define(
    "mars_gamma",
    "how much of the gradient's change is added to it",
    "a number >= 0",
    lambda x: bool(x >= 0),
)
define(
    "max_corrected_norm",
    "the longest corrected gradient let through",
    "> 0, or None",
    lambda x: bool(x > 0),
    optional=True,
)
define(
    "mars_start",
    "what stands for the last gradient at a parameter's first step",
    choices=("zero", "gradient"),
)


def _memory(hyper: Mapping[str, Any]) -> Any:
    return hyper["betas"][0] if "betas" in hyper else hyper["momentum"]


def mars(rule: Rule) -> Rule:
    """Give the rule gradients corrected by their change.

    Raises:
        ValueError: the rule has neither betas nor momentum.
    """
    if not {"betas", "momentum"} & rule.hyperparameters.keys():
        raise ValueError(
            f"mars({rule.name}): the correction is weighed by the rule's memory of gradients, and "
            f"{rule.name} has neither betas nor momentum. Wrap adam, lion or sgd."
        )

    def formula(
        p: Any,
        g: Any,
        *state: Any,
        t: Any,
        mars_gamma: Any,
        max_corrected_norm: Any,
        mars_start: Any,
        **hyper: Any,
    ) -> Any:
        *own, last = state
        last = g if t == 1 and mars_start == "gradient" else last
        b1 = _memory(hyper)
        c = g + mars_gamma * b1 / (1 - b1) * (g - last)
        if max_corrected_norm is not None:
            c = c / clamp(vector_norm(c) / max_corrected_norm, min=1.0)
        count = {"t": t} if rule.counts_steps else {}
        return *rule.formula(p, c, *own, **count, **hyper), g

    return rule.wrapped(
        "mars",
        formula,
        without=("pointwise", "loss-scale-invariant"),
        slots={"last": slot("last_grad")},
        counts_steps=True,
        mars_gamma=0.025,
        max_corrected_norm=1.0,
        mars_start="zero",
    )
