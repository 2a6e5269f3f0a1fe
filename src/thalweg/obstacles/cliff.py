"""Rare enormous gradients throw the parameters away.

What it is
    Where several large factors are multiplied, or an exponential meets a rare input, the loss has a
    wall: for hundreds of steps gradients are what they always are, then a single one is orders of
    magnitude longer and one step leaves everything that was learned.

How it is measured
    The norm of the gradient at every step. A step is a leap if its norm is 10 times the largest of
    the 20 before it (of 4 at least), and the last of these is at most 3 times their median: it
    comes out of the blue. The first leap counts if fewer than one step in twenty is one, and if the
    loss is worse after it than before (or no number).

When not to trust it
    Gradients that grow for many steps are exploding, not a cliff. A rate that is too high climbs
    walls that nobody would come near: if a smaller rate removes the harm, that is the name.

How it is proved
    Clipping the gradient's norm at its usual size removes the harm.

References
    Goodfellow, Bengio & Courville, Deep Learning (2016), section 8.2.4; Pascanu, Mikolov & Bengio
    (2013).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from thalweg.interventions import Clipping, LearningRate
from thalweg.obstacles.evidence import Evidence
from thalweg.obstacles.suspicion import Suspicion, shown, told

CODE = "cliff"
LEAP, RARE = 10.0, 0.05
BEFORE, FEWEST, USUAL = 20, 4, 3.0  # steps before a leap; norms over their median


def judge(seen: Evidence) -> Suspicion | None:
    """Suspected when a gradient is ten times all those before it, and the loss suffers."""
    norms = seen.gradient_norms
    leaps = leaps_of(norms)
    if not leaps or len(leaps) > max(1.0, RARE * len(norms)):
        return None
    first = leaps[0]
    usual = statistics.median(norms[:first])
    before, after = _around(seen.losses, first)
    if after <= before + 0.5 * abs(before):
        return None
    return Suspicion(
        CODE,
        0.85,
        f"After {first} steps of usual gradients one is {told(norms[first] / usual, 2)} times as "
        "long, and the loss leaps.",
        {
            "leap": shown(norms[first] / usual, "norm of that gradient over the median before it",
                          "times", LEAP),
            "rare": shown(len(leaps) / len(norms), "share of steps that leap", "share", RARE),
            "loss": shown([before, after], "mean of the 20 steps before it and after it"),
        },
        [(Clipping(float(f"{usual:.0e}")),), (Clipping(1.0),)],
        unless=[(LearningRate(0.1),), (LearningRate(0.01),)],
    )  # fmt: skip


def leaps_of(norms: Sequence[float]) -> list[int]:
    """The steps whose gradient is ten times the longest before it, and those had not been growing.

    What comes after the first gradient that is no number is not looked at.
    """
    found = []
    for at in range(FEWEST, len(norms)):
        before = norms[max(0, at - BEFORE) : at]
        if not all(map(math.isfinite, before)):
            break
        came_suddenly = before[-1] <= USUAL * statistics.median(before)
        if came_suddenly and norms[at] > LEAP * max(before) > 0:
            found.append(at)
    return found


def _around(losses: Sequence[float], at: int) -> tuple[float, float]:
    """The mean losses of the steps before, and after; infinite if one is no number."""
    before, after = losses[max(0, at - BEFORE) : at], losses[at + 1 : at + 1 + BEFORE]
    return tuple(  # type: ignore[return-value]
        statistics.fmean(part) if part and all(map(math.isfinite, part)) else math.inf
        for part in (before, after)
    )
