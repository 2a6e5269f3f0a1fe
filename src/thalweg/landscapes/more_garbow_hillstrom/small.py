"""Residuals in two to four variables that no data are fitted to.

The numbers in the names of `PROBLEMS` are those of the problems in the paper.
"""

import math

import torch
from torch import Tensor

from thalweg.landscapes.more_garbow_hillstrom.problem import upto, vector


def freudenstein_roth(x: Tensor) -> Tensor:
    """A minimum at zero and one far above it, where many runs end."""
    a, b = x
    return torch.stack([-13 + a + ((5 - b) * b - 2) * b, -29 + a + ((b + 1) * b - 14) * b])


def powell_badly_scaled(x: Tensor) -> Tensor:
    """A valley along the hyperbola 1e4 a b = 1, whose floor hardly falls."""
    a, b = x
    return torch.stack([1e4 * a * b - 1, (-a).exp() + (-b).exp() - 1.0001])


def brown_badly_scaled(x: Tensor) -> Tensor:
    """One variable is a million, the other two millionths."""
    a, b = x
    return torch.stack([a - 1e6, b - 2e-6, a * b - 2])


def beale(x: Tensor) -> Tensor:
    """A broad plain with sharp corners."""
    a, b = x
    residuals: Tensor = vector(1.5, 2.25, 2.625) - a * (1 - b ** upto(3))
    return residuals


def jennrich_sampson(x: Tensor) -> Tensor:
    """Two exponentials that cannot fit a straight line."""
    i = upto(10)
    return 2 + 2 * i - ((i * x[0]).exp() + (i * x[1]).exp())


def helical_valley(x: Tensor) -> Tensor:
    """A valley that winds around the third axis."""
    a, b, c = x
    theta = torch.atan(b / a) / (2 * math.pi) + (0.5 if a < 0 else 0.0)
    radius: Tensor = (a**2 + b**2).sqrt()
    return torch.stack([10 * (c - 10 * theta), 10 * (radius - 1), c])


def wood(x: Tensor) -> Tensor:
    """Two valleys, coupled, and a saddle on the way."""
    a, b, c, d = x
    return torch.stack(
        [
            10 * (b - a**2),
            1 - a,
            90**0.5 * (d - c**2),
            1 - c,
            10**0.5 * (b + d - 2),
            (b - d) / 10**0.5,
        ]
    )
