"""The minibatch gradient is mostly noise at this batch size and rate: jitter, not progress.

What it is
    The gradient of a minibatch is that of all data plus noise of standard error sigma / sqrt(n).
    Far from the goal the noise hardly matters; near it the noise is all there is, and a constant
    rate keeps the parameters jumping about. On a parabola descent at a small rate eta ends
    eta tr(Sigma) / 4 above the bottom, whatever its curvature: a quarter of what each step takes
    off the loss of its own batch.

How it is measured
    At a few steps the batches of earlier steps are played again at the same parameters: the noise
    scale tr(Sigma) / |G|^2 in batches, with its interval; and by how much the update lowers the
    loss of its own batch and that of the others. Three things together count, over the last looks:
    a noise scale of 3 batches or more, others that gain less than half of what the own batch gains,
    and a jitter (a quarter of the own fall) of 3 % of the loss; while the loss does not fall any
    more.

When not to trust it
    Late in every training the gradient is mostly noise: without jitter that is no fault. Batches
    met before may be known by heart. With momentum the update is older than its batch.

How it is proved
    Larger batches, a rate that is annealed to zero, or the mean of the last iterates removes the
    harm, and a tenth of the rate does not do materially better: then the rate was too high.

References
    McCandlish et al., An empirical model of large-batch training (2018); Bottou, Curtis & Nocedal,
    Optimization methods for large-scale machine learning (2018), section 4; Polyak & Juditsky
    (1992).
"""

from __future__ import annotations

import math
import statistics

from thalweg.interventions import Averaging, BatchSize, LearningRate, Schedule
from thalweg.obstacles.evidence import Evidence, Row
from thalweg.obstacles.suspicion import Proof, Suspicion, shown, told

CODE = "gradient-noise"
SCALE, GAIN, JITTER = 3.0, 0.5, 0.03
FALLS = 0.05  # of the loss over the last third: a run that falls faster makes progress
LARGEST = 16  # times the batch
MOST = 1e6  # batches; beyond that no gradient is seen at all
FEWEST = 60  # updates that must remain with larger batches


def judge(seen: Evidence) -> Suspicion | None:
    """Suspected when steps lower their own batch's loss, jitter the rest, and get nowhere."""
    late = [found for step, found in seen.probes("noise") if step >= len(seen.losses) // 16][-4:]
    if len(late) < 2 or seen.diverged or seen.adversarial or seen.late_fall > FALLS:
        return None
    scale = statistics.median(math.inf if one["scale"] is None else one["scale"] for one in late)
    own, others = _mean(late, "own_fall"), _mean(late, "others_fall")
    jitter = own / 4 / abs(seen.final_loss) if seen.final_loss else 0.0
    gained = others / own if own > 0 else 1.0
    if scale < SCALE or gained > GAIN or jitter < JITTER:
        return None
    sure = statistics.median(one["lower"] for one in late)
    return Suspicion(
        CODE,
        0.85 if jitter >= 2 * JITTER else 0.6,
        f"The minibatch gradient is mostly noise: {_batches(scale)} would have to be averaged to "
        f"see more than that, and the jitter makes up {jitter:.0%} of the loss.",
        {
            "noise_scale": shown(
                min(scale, MOST), f"batches whose noise is as long as the gradient; at least "
                f"{told(sure, 2)} for sure", "batches", SCALE,
            ),
            "gained": shown(gained, "fall of other batches' loss over that of the own", "", GAIN),
            "jitter": shown(jitter, "a quarter of the own batch's fall over the loss", "share",
                            JITTER),
        },
        proofs_of(scale, len(seen.losses)),
        fits=False,
        unless_better=[(LearningRate(0.1),)],
    )  # fmt: skip


def proofs_of(scale: float, steps: int) -> list[Proof]:
    """Batches as much larger as the noise asks for and the run allows; annealing; averaging.

    Where a loop counts its updates, larger batches cost none of them: the largest are tried too.
    """
    proofs: list[Proof] = [(Schedule(steps),), (Averaging(steps),)] if steps >= 2 else []
    factor = 2
    while factor < min(scale, LARGEST) and steps // (2 * factor) >= FEWEST:
        factor *= 2
    if steps // factor >= FEWEST:
        proofs.insert(0, (BatchSize(factor),))
    if factor < LARGEST <= scale:
        proofs.append((BatchSize(LARGEST),))
    return proofs


def _batches(scale: float) -> str:
    return f"about {told(scale, 2)} batches" if scale < MOST else "more batches than can be told"


def _mean(rows: list[Row], name: str) -> float:
    found = [one[name] for one in rows if one[name] is not None]
    return statistics.fmean(found) if found else 0.0
