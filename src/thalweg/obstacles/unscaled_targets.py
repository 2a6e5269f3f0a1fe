"""Targets far from the scale that the outputs start at.

What it is
    A network starts with outputs of order one. Targets near 250 000 are that many steps away, and
    the gradient of a squared error grows with their distance: with plain descent the first step is
    enormous, with an adaptive method it takes as many steps as the distance is long. Tiny targets
    have the opposite trouble: the error is small before anything is learned.

How it is measured
    At the first step in full: the targets' |mean| + deviation over that of the outputs, for losses
    of differences. Above 30, or below 1/30, counts.

When not to trust it
    Outputs that start at zero on purpose make every target look far away: the distance is then
    taken against one. Where a last bias learns quickly the mean is no trouble. The trial tells.

How it is proved
    Standardized targets, predictions scaled back, remove the harm.

References
    LeCun et al., Efficient BackProp (1998), section 4.5: choosing target values.
"""

from __future__ import annotations

import statistics

from thalweg.interventions import TargetStandardization
from thalweg.obstacles.evidence import Evidence, Row
from thalweg.obstacles.suspicion import Suspicion, shown, told

CODE = "unscaled-targets"
FAR = 30.0
POWERS = {"difference": 2, "mse_loss": 2, "l1_loss": 1, "smooth_l1_loss": 1, "huber_loss": 1}


def judge(seen: Evidence) -> Suspicion | None:
    """Suspected when targets are 30 times larger, or smaller, than what the outputs start at."""
    ends = [one["ending"] for one in seen.samples if one.get("ending")]
    if not ends or ends[0]["kind"] not in POWERS or not seen.layers():
        return None
    targets = [one["targets"] for one in ends if one["targets"] and one["targets"].get("std")]
    if not targets or ends[0]["outputs"].get("std") is None:
        return None
    size = _size(targets[0])
    distance = size / max(_size(ends[0]["outputs"]), 1.0 if size > 1 else 1e-30)
    if not (distance > FAR or 0 < distance < 1 / FAR):
        return None
    mean = statistics.fmean(one["mean"] for one in targets)
    std = statistics.fmean(one["std"] for one in targets)
    count = len(seen.layers())
    remedy = TargetStandardization(mean, std, count - 1, count, POWERS[ends[0]["kind"]])
    return Suspicion(
        CODE,
        0.9,
        f"The targets (mean {told(mean)}, deviation {told(std)}) are {told(distance)} times what "
        f"the outputs start at.",
        {
            "distance": shown(
                distance, "targets' size over that of the first outputs", "times", FAR
            ),
            "targets": shown([mean, std], "mean and deviation of the targets"),
        },
        [(remedy,)],
        fits=False,
    )


def _size(found: Row) -> float:
    return abs(float(found["mean"])) + float(found["std"])
