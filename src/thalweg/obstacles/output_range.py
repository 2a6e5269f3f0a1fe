"""The output activation cannot reach the targets.

What it is
    A rectifier cannot give a negative number, a sigmoid none above one, a tanh none beyond one
    either way. What lies outside is never fitted, and near the edge the gradient is gone.

How it is measured
    The tape shows which call made the outputs that the loss compares, and the range of the targets.
    Exact for the recorded batches.

When not to trust it
    Targets a little outside (label noise) may not matter: the trial tells.

How it is proved
    Without the output activation the harm is gone.

References
    Goodfellow, Bengio & Courville, Deep Learning (2016), section 6.2.2.
"""

from __future__ import annotations

import math

from thalweg.interventions import ActivationSwap
from thalweg.obstacles.evidence import Evidence
from thalweg.obstacles.suspicion import Suspicion, shown, told

CODE = "output-range"
RANGES = {"relu": (0.0, math.inf), "sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0),
          "softplus": (0.0, math.inf), "hardtanh": (-1.0, 1.0), "relu6": (0.0, 6.0)}  # fmt: skip


def judge(seen: Evidence) -> Suspicion | None:
    """Suspected when targets lie outside of what the last activation can give."""
    ends = [s["ending"] for s in seen.samples if s.get("ending") and s["ending"]["targets"]]
    ends = [one for one in ends if one["targets"].get("min") is not None]
    kinds = seen.activation_kinds
    if not ends or not kinds or (len(kinds) - 1) in seen.hidden_positions:
        return None
    kind = kinds[-1]
    low = min(one["targets"]["min"] for one in ends)
    high = max(one["targets"]["max"] for one in ends)
    if kind not in RANGES or "cross_entropy" in ends[0]["kind"] or "nll" in ends[0]["kind"]:
        return None
    bottom, top = RANGES[kind]
    beyond = max(bottom - low, high - top, 0.0)
    if beyond <= 0.01 * max(high - low, 1e-30):
        return None
    return Suspicion(
        CODE,
        0.97,
        f"The outputs end in {kind}, which gives {bottom:g} to {top:g}; the targets go from "
        f"{told(low)} to {told(high)}.",
        {
            "beyond": shown(beyond, "how far targets lie outside of the output's range", "", 0.0),
            "targets": shown([low, high], "range of the targets"),
        },
        [(ActivationSwap("identity", [len(kinds) - 1], len(kinds)),)],
    )
