"""Whether two runs from the same seed see the same numbers until what was changed parts them.

Trials are compared on the same stream of batches. A script that takes numbers from outside every
generator (the clock, the system's entropy, a race of threads) has no such stream: its runs differ
although nothing is changed, and one of them proves nothing against another. What gives it away
costs no run of its own: another learning rate changes nothing before the first update, so that the
first loss under it is the script's own first loss.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from thalweg.doctor.runs import Run
from thalweg.interventions import LearningRate

ROUNDING = 1e-3  # of the loss: what devices and threads may add up otherwise

SAYS = (
    "Runs of the script differ although nothing is changed, even from the same seed, so its runs "
    "were compared as chance draws and on more seeds."
)


def begin_alike(base: Run, others: Iterable[Run]) -> bool:
    """Whether the runs that only change the rate begin with the loss that the base begins with."""
    first = _first_loss(base)
    at = len(base.interventions)
    rates = [
        _first_loss(one)
        for one in others
        if one.seed == base.seed
        and one.interventions[:at] == base.interventions
        and all(isinstance(change, LearningRate) for change in one.interventions[at:])
    ]
    known = [loss for loss in rates if math.isfinite(loss)]
    return all(math.isclose(loss, first, rel_tol=ROUNDING, abs_tol=1e-12) for loss in known)


def _first_loss(run: Run) -> float:
    loss = run.recording.steps[0]["loss"] if run.recording.steps else None
    return math.nan if loss is None else loss
