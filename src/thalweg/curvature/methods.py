r"""How first-order methods move along one eigendirection, as recursions in lr times curvature.

On a quadratic, gradient descent and its kin move along each eigendirection by themselves. With
x = lr * curvature the position obeys  d_{t+1} = c1 d_t + c0 d_{t-1}:

    gradient descent    c1 = 1 - x              c0 = 0
    momentum            c1 = 1 + b - x          c0 = -b              buffer = b buffer + g
    Nesterov            c1 = (1 + b)(1 - x)     c0 = -b (1 - x)
    Adam, P held still  c1 = 1 + b - (1 - b) x  c0 = -b              of the preconditioned curvature

The largest modulus of a root of z^2 - c1 z - c0 is the factor by which the error shrinks in the
long run. `limit` is the x at which it reaches 1, with a root at z = -1: beyond, every step
overshoots by more than it gains. `fastest` is the x at which it is smallest; with momentum it is
sqrt(b) all the way from (1 - sqrt(b))^2 to (1 + sqrt(b))^2, almost the limit, and the middle of
that range is taken: half the limit, as for gradient descent.

LeCun, Simard & Pearlmutter (1993); B. Polyak, *Some methods of speeding up the convergence of
iteration methods* (1964); Cohen et al. (arXiv 2207.14484) for Adam.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, final, get_args

Name = Literal["gradient-descent", "momentum", "nesterov", "adam"]


@final
@dataclass(frozen=True)
class Method:
    """A first-order method with constant settings.

    Attributes:
        name: one of "gradient-descent", "momentum" (PyTorch's form), "nesterov", "adam" (any
            method with an averaged gradient and a diagonal that it divides by).
        momentum: b in [0, 1): momentum, Nesterov's, or Adam's beta1; 0 for gradient descent.

    Raises:
        ValueError: another name, a momentum out of its domain, or one for gradient descent.
    """

    name: Name
    momentum: float = 0.0

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.name not in get_args(Name):
            raise ValueError(f"method={self.name!r}: give one of {', '.join(get_args(Name))}.")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum={self.momentum}: give a number in [0, 1).")
        if self.name == "gradient-descent" and self.momentum:
            raise ValueError(
                f"method='gradient-descent', momentum={self.momentum}: gradient descent has none; "
                "give method='momentum' or 'nesterov'."
            )

    @property
    def limit(self) -> float:
        """The largest stable lr * curvature."""
        b = self.momentum
        return {
            "gradient-descent": 2.0,
            "momentum": 2 + 2 * b,
            "nesterov": (2 + 2 * b) / (1 + 2 * b),
            "adam": (2 + 2 * b) / (1 - b),
        }[self.name]

    @property
    def fastest(self) -> float:
        """The lr * curvature at which the long-run factor is smallest; see the module."""
        return 1.0 if self.name == "nesterov" else self.limit / 2

    def recursion(self, x: float) -> tuple[float, float]:
        """(c1, c0) at x = lr * curvature."""
        b = self.momentum
        return {
            "gradient-descent": (1 - x, 0.0),
            "momentum": (1 + b - x, -b),
            "nesterov": ((1 + b) * (1 - x), -b * (1 - x)),
            "adam": (1 + b - (1 - b) * x, -b),
        }[self.name]

    def factor(self, x: float) -> float:
        """The long-run factor of the error a step: the largest modulus of a root."""
        c1, c0 = self.recursion(x)
        rest = c1 * c1 + 4 * c0
        if rest < 0:
            return math.sqrt(-c0)
        return (abs(c1) + math.sqrt(rest)) / 2
