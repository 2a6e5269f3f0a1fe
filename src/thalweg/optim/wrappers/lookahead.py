"""Lookahead: k steps forward, one step back.

The rule walks with fast weights; every k steps the slow weights go part of the way to where it has
come, and the fast weights start again from there:

    s <- s + alpha (p - s),  p <- s        at every k-th step

Averaging along the walk takes out what oscillates, so that the rule may be given a larger lr.

Convention: the rule's own state (momentum, second moments) is kept at the jump, as in the paper's
experiments. Every parameter counts its own steps, so that a parameter that comes late looks ahead
from its own start.

Reference: Zhang, Lucas, Hinton & Ba (2019), arXiv 1907.08610, algorithm 1.
"""

from typing import Any

import torch
from torch import lerp

from thalweg.optim.hyperparameters import define
from thalweg.optim.rule import Rule, slot

define(
    "lookahead_steps",
    "how many steps the rule walks before the slow weights follow (the paper's k)",
    "a whole number >= 1",
    lambda x: bool(x >= 1 and x == int(x)),
)
define(
    "lookahead_alpha",
    "how much of the way the slow weights follow (the paper's alpha)",
    "in [0, 1]",
    lambda x: bool(0 <= x <= 1),
)


def lookahead(rule: Rule) -> Rule:
    """Let slow weights follow the rule every `lookahead_steps` steps, and start it from there."""

    def formula(
        p: Any,
        g: Any,
        *state: Any,
        t: Any,
        lookahead_steps: Any,
        lookahead_alpha: Any,
        **hyper: Any,
    ) -> Any:
        *inner, slow = state
        counted = {"t": t} if rule.counts_steps else {}
        fast, *new = rule.formula(p, g, *inner, **counted, **hyper)
        if t % lookahead_steps:
            return fast, *new, slow
        slow = lerp(slow, fast, lookahead_alpha)
        return slow, *new, slow

    return rule.wrapped(
        "lookahead",
        formula,
        slots={"slow": slot("slow_param", torch.clone)},
        counts_steps=True,
        lookahead_steps=5,
        lookahead_alpha=0.5,
    )
