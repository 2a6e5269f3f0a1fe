"""Losses and measures of a run as curves of a few hundred points, for a report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from thalweg.recorder.recording import Recording, higher_is_better, name_of_measure

POINTS = 400


def loss_curve(losses: Sequence[float]) -> dict[str, Any]:
    """A curve of at most 400 points: means over stretches, so that no leap is lost by luck."""
    stretch = max(1, math.ceil(len(losses) / POINTS))
    steps = list(range(0, len(losses), stretch))
    means = [_mean(losses[at : at + stretch]) for at in steps]
    return {"steps": steps, "values": [one if math.isfinite(one) else None for one in means]}


def measure_curve(recording: Recording, measure: tuple[str, str] | None) -> dict[str, Any] | None:
    """The latest values of a measure over the steps; None without one."""
    if measure is None:
        return None
    values = [[s, v if math.isfinite(v) else None] for s, v in recording.series(measure)]
    return {
        "name": name_of_measure(measure),
        "higher_is_better": higher_is_better(measure[1]),
        "values": values[-POINTS:],
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
