"""Penalty, dropout or noise holds the fit back.

What it is
    Weight decay pulls every weight to zero against the gradient; where it is stronger than what the
    data says, the network forgets faster than it learns. Dropout of most units does the same to the
    signal. So does a penalty or a prior in the loss that outweighs the data: what is fitted is the
    penalty.

How it is measured
    The weight decay of the optimizer (coupled, or times the rate where it is decoupled) and how the
    norm of the parameters moved from the first to the last step in full. Where a term is added to
    the data's own loss: how much of the targets' spread the outputs explain at the end.

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

from thalweg.interventions import Penalty, Regularization
from thalweg.obstacles.evidence import Evidence, Row
from thalweg.obstacles.suspicion import Suspicion, shown, told

CODE = "over-regularization"
STRONG = 5e-3
EXPLAINED = 0.3
WEAKER = [(Regularization(0.0),), (Regularization(0.1),)]


def judge(seen: Evidence) -> Suspicion | None:
    """Suspected from a strong decay, a term of the loss that outweighs the data, or dropout."""
    if not seen.samples:
        return None
    return _decay(seen) or _outweighed(seen) or _dropout(seen)


def _decay(seen: Evidence) -> Suspicion | None:
    """From a coupled decay of 0.005, a decoupled one of 0.2."""
    decay = float(seen.setting("weight_decay", 0.0) or 0.0)
    if seen.setting("decoupled_weight_decay") or seen.optimizer.get("kind") == "AdamW":
        decay /= 40
    if decay < STRONG:
        return None
    shrunk = _norm(seen.samples[-1]) / max(_norm(seen.first), 1e-30)
    return Suspicion(
        CODE,
        0.9 if shrunk < 0.7 else 0.7,
        f"A weight decay of {seen.setting('weight_decay', 0):g} holds the weights down: their norm "
        f"went to {told(shrunk, 2)} of what it was.",
        {
            "weight_decay": shown(decay, "decay of the loss's gradient by weight", "", STRONG),
            "norm": shown(shrunk, "norm of the parameters at the end over the start", "times"),
        },
        list(WEAKER),
    )


def _outweighed(seen: Evidence) -> Suspicion | None:
    """From outputs that explain little of the targets, under a loss with a term of its own."""
    found = seen.probes("terms")
    if not found or found[-1][1]["explained"] >= EXPLAINED:
        return None
    explained, added = found[-1][1]["explained"], found[-1][1]["added"]
    return Suspicion(
        CODE,
        0.7,
        "The loss has a term that no targets enter, and the outputs explain "
        f"{max(explained, 0):.0%} of what a constant would leave.",
        {
            "explained": shown(explained, "explained share of the targets", "", EXPLAINED),
            "added": shown(added, "what is added to the data's own loss, at the end"),
        },
        [(Penalty(0.1),), (Penalty(0.01),), (Penalty(1e-3),)],
    )


def _dropout(seen: Evidence) -> Suspicion | None:
    calls = seen.recording.summary.get("modes", {}).get("dropout active in training", 0)
    if not calls:
        return None
    return Suspicion(
        CODE,
        0.4,
        "Dropout takes a part of the signal in training.",
        {"dropout": shown(calls, "calls of dropout that were active in training")},
        list(WEAKER),
    )


def _norm(sample: Row) -> float:
    return math.sqrt(sum((one["norm"] or 0.0) ** 2 for one in sample["parameters"]))
