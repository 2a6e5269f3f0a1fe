"""Still improving steadily when the run ends.

What it is
    The loss was on its way down, at a rate that more epochs would have paid for, when the script's
    last epoch was over.

How it is measured
    The mean loss of the last tenth of the run over that of the tenth before it: a fall of more than
    8 % counts. The learning rate at the end over its largest: after a schedule has run out a longer
    run is another schedule.

When not to trust it
    A run that is slow because its rate is low also ends while falling: then a larger rate removes
    the harm in the time there is, and is the better name. A held-out loss that has begun to rise
    says the opposite.

How it is proved
    Three times as many epochs, and nothing else, remove the harm, and ten times the rate does not.

References
    Goodfellow, Bengio & Courville, Deep Learning (2016), section 8.1.3; Prechelt (1998).
"""

from __future__ import annotations

import math
import statistics

from thalweg.interventions import LearningRate, LongerTraining
from thalweg.obstacles.evidence import Evidence
from thalweg.obstacles.suspicion import Suspicion, shown

CODE = "stopped-too-early"
FALL = 0.08
LITTLE = 0.01  # of the first loss: what falls below that has nothing left to gain


def judge(seen: Evidence) -> Suspicion | None:
    """Suspected when the last tenth of the run still lowered the loss by 8 %."""
    tenth = len(seen.losses) // 10
    if tenth < 3 or seen.adversarial or not math.isfinite(seen.final_loss):
        return None
    before = statistics.fmean(seen.losses[-2 * tenth : -tenth])
    fall = 1 - seen.final_loss / before if before > 0 else 0.0
    rates = [row["rate"] for row in seen.recording.steps if row["optimizer"] == seen.main]
    kept = rates[-1] / max(rates) if rates and max(rates) > 0 else 1.0
    left = seen.final_loss / seen.initial_loss if seen.initial_loss > 0 else 1.0
    if not fall > FALL or kept < 0.3 or left < LITTLE:
        return None
    return Suspicion(
        CODE,
        0.8,
        f"The last tenth of the run still lowered the loss by {fall:.0%}.",
        {
            "fall": shown(
                fall, "fall of the loss from the tenth before to the last", "share", FALL
            ),
            "rate_kept": shown(kept, "learning rate at the end over its largest", "times"),
        },
        [(LongerTraining(3),)],
        unless=[(LearningRate(10.0),), (LearningRate(100.0),)],
    )
