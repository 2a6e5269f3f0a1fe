"""Cautious steps: no coordinate moves against its own gradient.

Momentum may carry a coordinate uphill: its step s and its gradient g then have s g >= 0. Such
coordinates stay where they are, and the others' steps are divided by the share that moves:

    k = 1 where s g < 0, otherwise 0          p <- p + s k / max(mean(k), least_share)

with the mean over the tensor. The loss falls along what is left to first order. `least_share=1`
leaves the division out. The step is what the wrapped rule does, weight decay included if that is
inside: write `decoupled(cautious(adam))` for the authors' C-AdamW, whose decay is not masked.

In half precision the rule is run in float32 here, since a step below half a unit in the last place
of p would look like none.

Sharding: the share is of the whole tensor; the engine gathers sharded parameters before the step.

Reference: Liang et al. (2024), arXiv 2411.16085, algorithm 1; the floor under the share is that of
the authors' code and of timm.
"""

from __future__ import annotations

from typing import Any

from thalweg.optim.hyperparameters import define
from thalweg.optim.matrices import in_single
from thalweg.optim.rule import Rule

define(
    "least_share",
    "the least share of moving coordinates that a cautious step is divided by",
    "a number in (0, 1]",
    lambda x: bool(0 < x <= 1),
)


def cautious(rule: Rule) -> Rule:
    """Keep of each step what goes downhill, coordinate by coordinate."""

    def formula(p: Any, g: Any, *state: Any, least_share: Any, **hyper: Any) -> Any:
        p, g, *state_ = (None if x is None else in_single(x) for x in (p, g, *state))
        new, *rest = rule.formula(p, g, *state_, **hyper)
        moving = ((new - p) * g < 0).to(p.dtype)
        return p + (new - p) * (moving / moving.mean().clamp(min=least_share)), *rest

    return rule.wrapped(
        "cautious", formula, without=("pointwise", "rotation-equivariant"), least_share=1e-3
    )
