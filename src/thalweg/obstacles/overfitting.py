"""The training loss falls while the held-out one rises.

What it is
    The network has begun to learn what its training examples have by chance. From then on every
    step fits them better and everything else worse.

How it is measured
    Held-out readings over the steps, where there are at least five, the script's own or those of
    samples that the doctor sets aside: the last value against the best one, and the training loss
    between the two. Without such readings it cannot be seen from outside.

When not to trust it
    A noisy held-out set has a best value by chance: the best is taken of a running mean of three,
    and the remedy must hold on other seeds.

How it is proved
    Stopping at the best held-out step removes the harm.

References
    Prechelt, Early stopping - but when? (1998); Goodfellow et al. (2016), section 7.8.
"""

from __future__ import annotations

import math
import statistics

from thalweg.interventions import EarlyStopping
from thalweg.obstacles.evidence import Evidence
from thalweg.obstacles.suspicion import Suspicion, shown
from thalweg.recorder.recording import higher_is_better, sort_of

CODE = "overfitting"


def judge(seen: Evidence) -> Suspicion | None:
    """Suspected when the held-out value got a tenth worse while the training loss fell."""
    found = _held_out(seen)
    if found is None:
        return None
    steps, values, higher = found
    best = max(range(len(values)), key=lambda i: values[i] if higher else -values[i])
    at, last = steps[best], values[-1]
    worse = (values[best] - last) if higher else (last - values[best])
    relative = worse / max(abs(values[best]), 1e-12)
    before = statistics.fmean(seen.losses[max(0, at - 10) : at + 1] or [math.nan])
    if relative < (0.03 if higher else 0.08) or not seen.final_loss < before or at < 1:
        return None
    return Suspicion(
        CODE,
        0.9,
        f"The held-out value was best after {at} steps and then got {relative:.0%} worse, while "
        f"the training loss went on falling.",
        {
            "best_step": shown(at, "where the held-out value was best", "steps"),
            "lost_since": shown(relative, "how much worse it ended", "share", 0.1),
            "training_loss": shown([before, seen.final_loss], "at that step and at the end"),
        },
        [(EarlyStopping(at),)],
        fits=False,
    )


def _held_out(seen: Evidence) -> tuple[list[int], list[float], bool] | None:
    """Steps and smoothed values of the held-out measure with the most readings."""
    measures = {
        (one["site"], one["kind"])
        for one in seen.recording.readings
        if not one["training"] and _tells(one["kind"])
    }
    series = {key: _finite(seen.recording.series(key)) for key in sorted(measures)}
    long = [(key, rows) for key, rows in series.items() if len(rows) >= 5]
    if not long:
        return None
    (_, kind), rows = max(long, key=lambda pair: len(pair[1]))
    values = [value for _, value in rows]
    smooth = [statistics.fmean(values[max(0, i - 1) : i + 2]) for i in range(len(values))]
    return [step for step, _ in rows], smooth, higher_is_better(kind)


def _tells(kind: str) -> bool:
    """Whether it is known what was computed; a score by hand may be anything."""
    return sort_of(kind) in ("accuracy", "loss", "error") or sort_of(kind) != kind


def _finite(series: list[tuple[int, float]]) -> list[tuple[int, float]]:
    return [(step, value) for step, value in series if math.isfinite(value)]
