"""NaN or infinity appears out of numbers that were in order.

What it is
    Some operations have points where value or slope is infinite: a square root or a logarithm at
    zero, a division by zero. Times zero, an infinite slope is NaN: one such entry in one batch
    makes every parameter NaN, for good.

How it is measured
    The first step at which loss or gradient is not finite, and the losses before it: had they
    grown, the gradient has exploded, which is another cause; had they not, an operation has made
    it. The operations with singular points that the step calls are named.

When not to trust it
    Data that already hold NaN look the same: then no safe operation helps.

How it is proved
    The operations made safe at their singular points, and nothing else, keep the run finite.

References
    Goldberg, What every computer scientist should know about floating-point arithmetic (1991).
"""

from __future__ import annotations

import math

from thalweg.interventions import SafeOperations
from thalweg.obstacles.evidence import Evidence
from thalweg.obstacles.suspicion import Suspicion, shown

CODE = "non-finite"
SINGULAR = ("sqrt", "rsqrt", "log", "log2", "log10", "pow", "div", "__truediv__", "acos", "asin",
            "atanh", "exp", "reciprocal")  # fmt: skip


def judge(seen: Evidence) -> Suspicion | None:
    """Suspected when the loss stops being finite without growing, and something is singular."""
    broken = next((i for i, loss in enumerate(seen.losses) if not math.isfinite(loss)), None)
    if broken is None:
        return None
    before = seen.losses[:broken]
    grown = max(map(abs, before[-3:]), default=0.0) > 10 * max(abs(seen.losses[0]), 1e-30)
    called = seen.first.get("operations", [])
    singular = [name for name in SINGULAR if name in called]
    if grown:
        return None
    calls = f"the step calls {', '.join(singular)}" if singular else (
        "what is singular may lie in what the data go through before any weight"
    )  # fmt: skip
    return Suspicion(
        CODE,
        0.93 if singular else 0.5,
        f"The loss is not finite from step {broken} on, with nothing large before it; {calls}.",
        {
            "first_step": shown(broken, "first step whose loss is not finite", "steps"),
            "singular": shown(singular, "operations with a singular point that the step calls"),
        },
        [(SafeOperations(),), (SafeOperations(1e-4),)],
    )
