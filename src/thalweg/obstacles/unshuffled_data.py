"""Consecutive minibatches are correlated.

What it is
    Sorted classes, or a time series in order, make each minibatch a biased sample of the data: the
    network follows what it saw last and forgets the rest. Stochastic descent assumes independence.

How it is measured
    The correlation between the mean target of a minibatch and that of the next one, over the first
    steps (up to 2000): near 0 for shuffled data, near 1 for data in order. Its standard error is
    1/sqrt(steps).

When not to trust it
    Reinforcement learning and online prediction are correlated by nature. Targets that hardly
    differ between batches say nothing.

How it is proved
    Shuffling the examples, and only that, removes the harm.

References
    LeCun et al., Efficient BackProp (1998), section 4.2; Bottou (2012), Stochastic gradient tricks.
"""

from __future__ import annotations

import math
from itertools import pairwise

from thalweg.interventions import Shuffling
from thalweg.obstacles.evidence import Evidence
from thalweg.obstacles.suspicion import Suspicion, shown

CODE = "unshuffled-data"
HIGH = 0.5


def judge(seen: Evidence) -> Suspicion | None:
    """Suspected from a correlation of 0.5 over at least 20 minibatches that differ."""
    means = seen.recording.summary.get("target_means", [])
    found = correlation(means)
    if found is None or not is_in_order(seen):
        return None
    error = 1 / math.sqrt(len(means))
    return Suspicion(
        CODE,
        0.93,
        f"Targets of consecutive minibatches are correlated by {found:.2f}: data come in order.",
        {
            "correlation": shown(
                found, "between the mean targets of consecutive minibatches", "", HIGH, error
            )
        },
        [(Shuffling(),)],
        fits=False,
    )  # fmt: skip


def is_in_order(seen: Evidence) -> bool:
    """Whether consecutive minibatches are correlated, beyond chance."""
    means = seen.recording.summary.get("target_means", [])
    found = correlation(means)
    if found is None or len(means) < 20:
        return False
    return found >= HIGH and found - 2 / math.sqrt(len(means)) >= HIGH / 2


def correlation(values: list[float]) -> float | None:
    """Lag-one autocorrelation; None if the values do not vary."""
    if len(values) < 3:
        return None
    mean = sum(values) / len(values)
    variance = sum((one - mean) ** 2 for one in values)
    if variance <= 1e-12 * max(mean * mean, 1e-30) * len(values):
        return None
    return sum((a - mean) * (b - mean) for a, b in pairwise(values)) / variance
