"""The clinic's rule: when one script's metrics are better than another's, beyond doubt."""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

MARGIN, MARGIN_OF_ERROR = 0.03, 0.1


class Run(NamedTuple):
    """What a script printed as its metric (nan if nothing) and the processor seconds it took."""

    metric: float
    seconds: float


def gains(before: Sequence[Run], after: Sequence[Run], higher_is_better: bool) -> list[float]:
    """What each seed gains; a run without a finite metric is infinitely bad."""
    worst = -math.inf if higher_is_better else math.inf
    sign = 1.0 if higher_is_better else -1.0
    values = [
        [run.metric if math.isfinite(run.metric) else worst for run in runs]
        for runs in (before, after)
    ]
    return [0.0 if a == b else sign * (b - a) for a, b in zip(*values, strict=True)]


def margin(before: Sequence[Run], higher_is_better: bool) -> float:
    """The least mean gain that somebody would care about."""
    if higher_is_better:
        return MARGIN
    return MARGIN_OF_ERROR * abs(statistics.fmean(run.metric for run in before))


def is_better(before: Sequence[Run], after: Sequence[Run], higher_is_better: bool) -> bool:
    """Whether every seed gains, beyond two standard errors and by the margin."""
    gained = gains(before, after, higher_is_better)
    if min(gained) <= 0:
        return False
    if math.inf in gained:
        return True
    mean = statistics.fmean(gained)
    error = statistics.stdev(gained) / math.sqrt(len(gained)) if len(gained) > 1 else 0.0
    return mean > 2 * error and mean >= margin(before, higher_is_better)


def share(plain: Run, mended: Run, other: Run, higher_is_better: bool) -> float:
    """Share of one seed's gap from the faulty to the mended script that a change closes.

    Where the faulty script has no metric, 1 for a change that comes within a tenth of the mended
    script's metric, else 0.
    """
    if not math.isfinite(other.metric):
        return 0.0
    if math.isfinite(plain.metric):
        gap = mended.metric - plain.metric
        return (other.metric - plain.metric) / gap if gap else 0.0
    sign = 1.0 if higher_is_better else -1.0
    return float(sign * (other.metric - mended.metric) >= -0.1 * abs(mended.metric))
