"""The update goes up what it should go down.

What it is
    A log-likelihood that is minimized, a reward with the wrong sign, ``maximize=True`` on a loss:
    the optimizer does its work, in the wrong direction.

How it is measured
    Losses of the field are bounded below, most of them by zero. A loss that is or becomes negative
    and goes on falling without slowing down, or one that rises steadily while each step follows its
    gradient, raises the suspicion.

When not to trust it
    Log-densities of continuous data are rightly negative: only a trial that makes the script's own
    evaluation better names the cause.

How it is proved
    The other sign improves what the script evaluates.

References
    Goodfellow et al. (2016), section 5.5: maximum likelihood as minimizing the negative logarithm.
"""

from __future__ import annotations

import math

from thalweg.interventions import OtherSign
from thalweg.obstacles.evidence import Evidence, final
from thalweg.obstacles.suspicion import Suspicion, shown, told

CODE = "ascending"


def judge(seen: Evidence) -> Suspicion | None:
    """Suspected when the loss falls below zero and on, or rises under ``maximize``."""
    first, last = seen.initial_loss, seen.final_loss
    if not math.isfinite(first) or not math.isfinite(last):
        return None
    falls_on = last < 0 and last < first - abs(first) and _speed(seen) > 0.5
    rises = bool(seen.setting("maximize", False)) and last > first
    if not falls_on and not rises:
        return None
    return Suspicion(
        CODE,
        0.95 if rises else 0.9,
        "The loss rises, as maximize=True asks." if rises else
        f"The loss falls from {told(first)} to {told(last)} and on, with nothing to stop it.",
        {"loss": shown([first, last], "at the start and at the end"),
         "speed": shown(_speed(seen), "fall of the second half over the first's", "times", 0.5)},
        [(OtherSign(),)],
        fits=False,
    )  # fmt: skip


def _speed(seen: Evidence) -> float:
    half = len(seen.losses) // 2
    middle = final(seen.losses[: max(1, half)])
    fall = seen.initial_loss - middle
    return (middle - seen.final_loss) / fall if fall > 0 else 0.0
