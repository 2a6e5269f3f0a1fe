"""Penalty, dropout or noise holds the fit back.

What it is
    Weight decay pulls every weight to zero against the gradient; where it is stronger than what the
    data says, the network forgets faster than it learns. Dropout of most units does the same to the
    signal.

How it is measured
    The weight decay of the optimizer (coupled, or times the rate where it is decoupled) and how the
    norm of the parameters moved from the first to the last step in full; the training loss that is
    left.

When not to trust it
    Strong decay can be right for small data: then taking it away fits better and generalizes worse,
    and the trial, which is judged by the script's own evaluation, says so.

How it is proved
    Less of it removes the harm.

References
    Krogh & Hertz, A simple weight decay can improve generalization (1992); Srivastava et al.
    (2014).
"""

from __future__ import annotations

import math

from thalweg.interventions import Regularization
from thalweg.obstacles.evidence import Evidence, Row
from thalweg.obstacles.suspicion import Suspicion, shown, told

CODE = "over-regularization"
STRONG = 5e-3


def judge(seen: Evidence) -> Suspicion | None:
    """Suspected from a coupled decay of 0.005 (a decoupled one of 0.2), or active dropout."""
    decay = float(seen.setting("weight_decay", 0.0) or 0.0)
    if seen.setting("decoupled_weight_decay") or seen.optimizer.get("kind") == "AdamW":
        decay /= 40
    dropout = seen.recording.summary.get("modes", {}).get("dropout active in training", 0)
    if (decay < STRONG and not dropout) or not seen.samples:
        return None
    shrunk = _norm(seen.samples[-1]) / max(_norm(seen.first), 1e-30)
    strength = 0.9 if decay >= STRONG and shrunk < 0.7 else 0.7 if decay >= STRONG else 0.4
    return Suspicion(
        CODE,
        strength,
        f"A weight decay of {seen.setting('weight_decay', 0):g} holds the weights down: their norm "
        f"went to {told(shrunk, 2)} of what it was.",
        {
            "weight_decay": shown(decay, "decay of the loss's gradient by weight", "", STRONG),
            "norm": shown(shrunk, "norm of the parameters at the end over the start", "times"),
        },
        [(Regularization(0.0),), (Regularization(0.1),)],
    )


def _norm(sample: Row) -> float:
    return math.sqrt(sum((one["norm"] or 0.0) ** 2 for one in sample["parameters"]))
