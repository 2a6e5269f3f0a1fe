"""The loss of samples set aside over a run, in stretches in which each of them has come.

One batch has a few of them, and not the same as the next one: their losses are compared only where
all are counted. So a reading is the mean over a stretch of updates with as many visits of samples
set aside as there are such samples (an epoch of them); the last stretch ends with the run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from thalweg.recorder.recording import SET_ASIDE

MOST_READINGS = 200
MOST_POINTS = 20_000
PENDING = 64  # values that may wait on their device


@dataclass(frozen=True)
class Point:
    """The mean loss of so many visits at a step."""

    step: float
    loss: float
    visits: int


class Curve:
    """Gathers losses by the step at which they were read."""

    def __init__(self) -> None:
        self._points: list[Point] = []
        self._pending: list[tuple[int, torch.Tensor, int]] = []

    def add(self, step: int, loss: torch.Tensor, visits: int) -> None:
        """A mean loss of so many samples at this step."""
        self._pending.append((step, loss, visits))
        if len(self._pending) >= PENDING:
            self._settle()

    def _settle(self) -> None:
        self._points += [Point(step, float(loss), visits) for step, loss, visits in self._pending]
        self._pending = []
        if len(self._points) > MOST_POINTS:
            self._points = [joint(self._points[at : at + 2]) for at in range(0, MOST_POINTS, 2)] + (
                self._points[MOST_POINTS:]
            )

    def readings(self, samples: int) -> list[dict[str, Any]]:
        """At most 200 readings as a recording has them, each over all of so many samples."""
        self._settle()
        return [_reading(joint(part)) for part in stretches(self._points, samples)]


def stretches(points: list[Point], samples: int) -> list[list[Point]]:
    """Consecutive points with so many visits each; what is left over at the beginning is left out.

    A run that is shorter is one stretch.
    """
    every = max(samples, math.ceil(sum(one.visits for one in points) / MOST_READINGS))
    found: list[list[Point]] = []
    begun: list[Point] = []
    visits = 0
    for point in reversed(points):
        begun.append(point)
        visits += point.visits
        if visits >= every:
            found.append(begun[::-1])
            begun, visits = [], 0
    return found[::-1] or ([points] if points else [])


def joint(points: list[Point]) -> Point:
    """The mean of several, by visits."""
    visits = sum(one.visits for one in points)
    step = sum(one.step * one.visits for one in points) / visits
    return Point(step, sum(one.loss * one.visits for one in points) / visits, visits)


def _reading(point: Point) -> dict[str, Any]:
    return {
        "site": SET_ASIDE,
        "kind": "loss",
        "training": False,
        "step": round(point.step),
        "value": point.loss if math.isfinite(point.loss) else None,
        "count": point.visits,
    }
