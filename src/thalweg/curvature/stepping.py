r"""Stepping a method from where the parameters are, to see whether it holds a learning rate.

At a point where the gradient is not zero, steps lead away from it whatever the rate is. What a rate
does to the stiffest direction is seen on the tilted loss L(w) - g . w, g the gradient at the
point, which is stationary there and has the same Hessian: from a small displacement along a
direction v, its steps come back at a stable rate and leave at an unstable one. Only gradients of
the real loss are used, so this is a check of the prediction and not a repetition of it.

What steps do across v is left out: along a direction that is curved downwards they leave at every
rate, and rounding is enough to begin with.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from thalweg.curvature.methods import Method

GONE = 10.0  # times the first displacement: further out the loss may be another one
FEWEST = 6  # steps, which show a factor

Gradient = Callable[[Tensor], Tensor]  # of the displacement from the point, both of shape (n,)


@final
@dataclass(frozen=True)
class Stepped:
    """What steps at one learning rate did to a displacement along a direction.

    Attributes:
        lr: the learning rate.
        factor: by which the displacement grew (above 1) or shrank a step, on average.
        steps: taken.
    """

    lr: float
    factor: float
    steps: int

    @property
    def grew(self) -> bool:
        """Whether the method left the point."""
        return self.factor > 1


def stepped(
    method: Method,
    gradient: Gradient,
    direction: Tensor,
    lr: float,
    *,
    steps: int,
    reach: float,
    diagonal: Tensor | None = None,
) -> Stepped:
    """Step a method on the tilted loss, from `reach` along `direction`.

    Args:
        method: with its momentum.
        gradient: of the loss at the point plus a displacement.
        direction: v, of length 1, shape (n,).
        lr: the learning rate.
        steps: how many, at least 6; each takes one gradient. They end early once they are gone.
        reach: length of the first displacement; small against the scale at which the curvature
            changes.
        diagonal: P, positive, shape (n,), which the method divides by; ones if None.
    """
    at_rest = gradient(torch.zeros_like(direction))
    place, buffer = reach * direction, torch.zeros_like(direction)
    lengths = []
    for _ in range(steps):
        ahead = look_ahead(method, place, buffer, lr)
        slope = gradient(ahead) - at_rest
        place, buffer = moved(method, place, buffer, slope, lr, diagonal)
        place = (place @ direction) * direction
        lengths.append(abs(float(place @ direction)) / reach)
        if not math.isfinite(lengths[-1]):
            return Stepped(lr, math.inf, len(lengths))
        if lengths[-1] > GONE and len(lengths) >= FEWEST:
            break
    return Stepped(lr, mean_factor(lengths), len(lengths))


def look_ahead(method: Method, place: Tensor, buffer: Tensor, lr: float) -> Tensor:
    """Where the gradient is taken: for Nesterov's method ahead, by the momentum's step."""
    return place - lr * method.momentum * buffer if method.name == "nesterov" else place


def moved(
    method: Method,
    place: Tensor,
    buffer: Tensor,
    slope: Tensor,
    lr: float,
    diagonal: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Place and buffer after one step."""
    b = method.momentum
    share = 1 - b if method.name == "adam" else 1.0
    buffer = b * buffer + share * slope
    step = buffer if diagonal is None else buffer / diagonal
    return place - lr * step, buffer


def mean_factor(lengths: list[float]) -> float:
    """The mean factor a step, between the middle third and the last.

    What the start was has died away there, and a third is long enough for a place that swings
    through zero to show how far it swings.
    """
    third = len(lengths) // 3
    before, after = max(lengths[third : 2 * third]), max(lengths[-third:])
    if before == 0:
        return 0.0
    return float((after / before) ** (1 / (len(lengths) - 2 * third)))
