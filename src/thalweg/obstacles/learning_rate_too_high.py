"""Steps overshoot.

What it is
    On a quadratic of largest curvature lambda, descent with a rate above 2/lambda moves away from
    the minimum; with momentum b the limit is (2 + 2b)/lambda, and an adaptive method has its own on
    the preconditioned Hessian. Far above it the loss rises, swings or leaves the numbers.

How it is measured
    The critical rate along the actual update, at the steps in full: the factor on the step at which
    the loss of the same batch rises above where it was. A factor below 1 means that the step taken
    has raised its own loss. Beside it the largest eigenvalue that the optimizer sees (of the
    Hessian, preconditioned as it does) times the rate, over its own limit: 2 for plain descent, 2 +
    2b with momentum b, 38 for Adam at its usual beta; and how the loss moved over the run.

When not to trust it
    At the edge of stability factors near 1 are normal and no fault; momentum may raise the loss of
    one batch for a while; a noisy batch overstates its own curvature. The evidence therefore only
    ranks the suspicion, and a smaller rate must fit the training data better, not only generalize
    better (that would be early stopping).

How it is proved
    A rate of a tenth or a hundredth removes the harm.

References
    LeCun et al., Efficient BackProp (1998), section 4.7; Cohen et al. (2021), arXiv 2103.00065;
    critical sharpness: arXiv 2601.16979.
"""

from __future__ import annotations

import math

from thalweg.interventions import LearningRate
from thalweg.obstacles.evidence import Evidence
from thalweg.obstacles.suspicion import Suspicion, shown

CODE = "learning-rate-too-high"


def judge(seen: Evidence) -> Suspicion | None:
    """Always a candidate; strong where steps raise their own loss or the run got nowhere."""
    if not seen.samples:
        return None
    scales = [found["scale"] for _, found in seen.probes("critical")]
    below = [one for one in scales if one is not None and one < 1]
    share = len(below) / len(scales) if scales else 0.0
    left = _left(seen)
    strength = (
        0.85 if share >= 0.3 and left > 0.3 else 0.75 if share >= 0.3 or seen.diverged else 0.4
    )
    evidence = {
        "overshooting": shown(
            share, "share of examined steps that raised their own loss", "share", 0.3
        ),
        "loss_left": shown(left, "final loss over initial loss", "times"),
    }
    known = [one for _, one in seen.probes("curvature") if "reach" in one]
    if known:
        top = max(known, key=lambda one: one["reach"])
        evidence["reach"] = shown(
            top["reach"],
            f"rate over the largest stable one ({top['method']}, {top['limit']:g} over curvature)",
            "times",
            1.0,
        )
    return Suspicion(
        CODE,
        strength,
        f"{share:.0%} of the examined steps raised the loss of their own batch"
        + (f" at a learning rate of {seen.rate:g}." if seen.rate else "."),
        evidence,
        [(LearningRate(0.1),), (LearningRate(0.01),)],
    )


def _left(seen: Evidence) -> float:
    if not math.isfinite(seen.final_loss):
        return math.inf
    return seen.final_loss / seen.initial_loss if seen.initial_loss > 0 else 1.0
