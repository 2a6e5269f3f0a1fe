"""Ending a trial that is plainly worse, before it has cost a whole run.

At a quarter and at half of the steps of the run as it is, a trial's training loss (the mean of five
steps) is held against a ceiling: above the highest loss that the run as it is had until then, by
three times the range that this run went through. A trial above it, or without a finite loss, is no
remedy, whatever it does later. The ceiling is the same for a loss that is shifted or scaled. It is
not applied to changes that make another loss of it, nor where the run as it is has left the numbers
itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

CHECKS = (0.25, 0.5)
WINDOW = 5
FEWEST = 40  # steps; a shorter run is not worth stopping
TIMES = 3.0

Ceiling = tuple[int, float]


def ceilings(losses: Sequence[float]) -> list[Ceiling]:
    """Steps and the training loss that a trial may have there; empty where nothing can be said."""
    if len(losses) < FEWEST or not all(math.isfinite(one) for one in losses):
        return []
    low, high = min(losses), max(losses)
    span = (high - low) or abs(high)
    return [(int(part * len(losses)), high + TIMES * span) for part in CHECKS]


def overrun(ceilings: Sequence[Ceiling]) -> Callable[[int, float], bool]:
    """A judge that is told every step's number and loss, and says when a ceiling is broken."""
    limits = dict(ceilings)
    window: list[float] = []

    def broken(step: int, loss: float) -> bool:
        window.append(loss)
        del window[:-WINDOW]
        if step not in limits:
            return False
        mean = sum(window) / len(window)
        return not mean <= limits[step]  # a loss that is no number breaks every ceiling

    return broken
