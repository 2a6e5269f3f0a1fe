"""Progress per step is a small fraction of what the curvature allows.

What it is
    The best rate of plain descent in one direction is 1/curvature; a rate a hundred times smaller
    needs a hundred times the steps. A schedule that decays too fast ends in the same way.

How it is measured
    The critical rate along the actual update: how many times longer the step could have been before
    the loss of its own batch rises. The median over the steps in full of a run that is still
    falling; no more than the optimizer's own limit of stability leaves, since along a flat valley a
    step could be long that its walls forbid. And the rate at the end over the rate at the start.

When not to trust it
    Small steps are right at the end of a schedule, near a minimum, and for noisy batches, whose own
    loss falls for longer than that of the data: only the trial decides.

How it is proved
    A rate of ten or a hundred times, or a schedule that does not decay, removes the harm.

References
    LeCun et al., Efficient BackProp (1998), section 4.7; critical sharpness: arXiv 2601.16979.
"""

from __future__ import annotations

import math
import statistics

from thalweg.interventions import LearningRate
from thalweg.obstacles.evidence import Evidence
from thalweg.obstacles.suspicion import Proof, Suspicion, shown, told

CODE = "learning-rate-too-low"


def judge(seen: Evidence) -> Suspicion | None:
    """Always a candidate; strong where steps could be thirty times longer."""
    if not seen.samples or seen.diverged:
        return None
    scales = [_scale(found) for _, found in seen.probes("critical")]
    along = statistics.median(scales) if scales else 1.0
    room = min(along, _below_the_limit(seen))
    decay = _decay(seen)
    strength = 0.85 if room >= 100 else 0.75 if room >= 20 else 0.4
    proofs: list[Proof] = [(LearningRate(10.0),), (LearningRate(100.0),)]
    if decay < 0.01:
        proofs.insert(0, (LearningRate(1.0, hold=True),))
        strength = 0.9
    return Suspicion(
        CODE,
        strength,
        f"Steps could be {told(room)} times longer before the loss of their own batch rises"
        + (f"; the schedule ends at {told(decay, 1)} of its first rate." if decay < 0.01 else "."),
        {
            "room": shown(room, "median factor by which a step could be stretched", "times", 20.0),
            "decay": shown(decay, "learning rate at the end over the start", "times"),
        },
        proofs,
    )


def _scale(found: dict[str, object]) -> float:
    scale = found["scale"]
    if isinstance(scale, float | int):
        return float(scale)
    return 1024.0 if found["censored"] == "above" else 0.0


def _below_the_limit(seen: Evidence) -> float:
    """How many times larger the rate could be before it reaches its limit; unbounded if unknown."""
    known = [one["reach"] for _, one in seen.probes("curvature") if "reach" in one]
    typical = statistics.median(known) if known else 0.0
    return 1 / typical if typical > 0 else math.inf


def _decay(seen: Evidence) -> float:
    rates = [row["rate"] for row in seen.recording.steps if row["optimizer"] == seen.main]
    if not rates or max(rates) == 0 or not math.isfinite(max(rates)):
        return 1.0
    return float(statistics.median(rates)) / float(max(rates))
