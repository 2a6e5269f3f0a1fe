"""The model is too small for the task.

What it is
    A network with three units in a layer can bend its answer in three places. Where the task needs
    dozens, no optimizer finds what is not there: the training loss stays high, and so does the one
    on data that it has not seen.

How it is measured
    The units of the hidden layers: a network whose widest hidden layer has at most 16 is small (32:
    perhaps). That it has learned what it can: between 95 % and 30 % of the first loss is left and
    no longer falls (less than 5 % over the last third), and its steps, stretched, would soon raise
    the loss (100 times at most). A layer that is narrow among wide ones is a matter of the
    architecture.

When not to trust it
    What is left may be noise in the targets, or a rate that does not get down: only a larger model
    that fits the training data better, and does better on what it has not seen, tells. A wider
    layer also trains faster.

How it is proved
    Several times the units in all hidden layers, at the same settings, remove the harm, and neither
    another rate nor the end of dropout and weight decay does.

References
    Goodfellow, Bengio & Courville, Deep Learning (2016), section 5.2: capacity; Barron (1993): the
    error of n units falls as 1/n.
"""

from __future__ import annotations

import statistics

from thalweg.interventions import LearningRate, Regularization, WiderLayers
from thalweg.obstacles.evidence import Evidence
from thalweg.obstacles.suspicion import Suspicion, shown

CODE = "underfitting"
SMALL, PERHAPS = 16, 32  # units in the widest hidden layer
LEFT, LEARNED, FALLS = 0.3, 0.95, 0.05
ROOM = 100.0  # times that a step can be stretched: a rate that is too low looks stuck as well
WIDENED = frozenset({"linear", "conv1d", "conv2d", "conv3d", "matmul", "__matmul__", "mm"})
TIMES, MOST = 8, 128  # the units, of the widest layer at most so many


def judge(seen: Evidence) -> Suspicion | None:
    """Suspected when a network of few units is stuck at a high training loss."""
    rows = seen.layers()
    hidden = [one.get("units", 0) if one["kind"] in WIDENED else 0 for one in rows[:-1]]
    widest = max(hidden, default=0)
    stuck = LEFT < seen.left < LEARNED and seen.late_fall < FALLS and _room(seen) <= ROOM
    if not 0 < widest <= PERHAPS or min(hidden) == 0 or not stuck or seen.adversarial:
        return None
    factor, count = max(2, min(TIMES, MOST // widest)), len(rows)
    return Suspicion(
        CODE,
        0.8 if widest <= SMALL else 0.55,
        f"The widest hidden layer has {widest} units, and {seen.left:.0%} of the first training "
        "loss is left.",
        {
            "widest": shown(widest, "units of the widest hidden layer", "units", SMALL),
            "loss_left": shown(seen.left, "final training loss over initial", "share", LEFT),
            "late_fall": shown(seen.late_fall, "fall of the loss over the last third", "share",
                               FALLS),
        },
        [(WiderLayers(list(range(count - 1)), count, factor=factor),)],
        unless=[(LearningRate(0.1),), (LearningRate(10.0),), (Regularization(0.0),)],
    )  # fmt: skip


def _room(seen: Evidence) -> float:
    """The median factor by which late steps could be stretched before they raise the loss."""
    found = [one for _, one in seen.probes("critical")]
    known = [one["scale"] or 0.0 if one["censored"] != "above" else 1024.0 for one in found]
    late = known[len(known) // 2 :]
    return statistics.median(late) if late else 0.0
