r"""What a nonlinearity takes from a signal's second moment, and the gain that gives it back.

A layer's weighted sums have the variance fan_in var(w) E[x^2]. Where x = phi(z) and z is normal
with variance 1, they have it again if fan_in var(w) = gain^2 with

    gain^2 = 1 / E[phi(z)^2],    z ~ N(0, 1):

2 for the rectifier (K. He, X. Zhang, S. Ren & J. Sun, *Delving deep into rectifiers*, ICCV 2015,
equation 10), 2 / (1 + a^2) for one that leaks a (equation 15), 1 for SELU, which was made so.
`torch.nn.init.calculate_gain` has the same numbers for rectifiers; for tanh (5/3) and SELU (3/4) it
has rules of thumb, and for GELU, SiLU and others none.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Nonlinearity = str | Callable[[Tensor], Tensor]

NAMES: Final = (
    *("linear", "relu", "leaky_relu", "tanh", "sigmoid", "softplus", "softsign", "elu", "selu"),
    *("celu", "gelu", "silu", "mish", "hardtanh", "hardsigmoid", "hardswish", "relu6"),
)
KNOWN: Final = {"linear": 1.0, "relu": 2.0}  # exactly, where quadrature has roundings
REACH: Final = 12  # deviations; beyond, a normal number is seen once in 10^32


def squared_gain(nonlinearity: Nonlinearity) -> float:
    """gain^2 = 1 / E[phi(z)^2] of a nonlinearity.

    Args:
        nonlinearity: its name in `torch.nn.functional`, "linear" for none, or a function from
            tensor to tensor that acts on each number by itself.

    Raises:
        ValueError: There is no such name; or the second moment is zero or not finite.
    """
    if isinstance(nonlinearity, str) and nonlinearity in KNOWN:
        return KNOWN[nonlinearity]
    second = expectation(lambda z: function(nonlinearity)(z).square())
    if not 0 < second < float("inf"):
        raise ValueError(
            f"squared_gain({nonlinearity!r}): E[phi(z)^2] is {second}; give a function that keeps "
            "some of its input, and is finite."
        )
    return 1 / second


def function(nonlinearity: Nonlinearity) -> Callable[[Tensor], Tensor]:
    """The function of a name."""
    if callable(nonlinearity):
        return nonlinearity
    if nonlinearity not in NAMES:
        raise ValueError(
            f"nonlinearity={nonlinearity!r}: choose one of {', '.join(NAMES)}, or give a function."
        )
    found: Callable[[Tensor], Tensor] = getattr(functional, nonlinearity)
    return found


def expectation(integrand: Callable[[Tensor], Tensor]) -> float:
    """E[f(z)] over z ~ N(0, 1), by Gauss-Legendre on intervals of length 1.

    Kinks of common nonlinearities lie at whole numbers, between the intervals, where they cost no
    accuracy; smooth ones are exact to rounding.
    """
    nodes, weights = map(
        partial(torch.tensor, dtype=torch.float64), np.polynomial.legendre.leggauss(20)
    )
    starts = torch.arange(-REACH, REACH, dtype=torch.float64)
    z = starts[:, None] + (nodes + 1) / 2
    density = (-z.square() / 2).exp() / (2 * torch.pi) ** 0.5
    return float((integrand(z) * density * weights / 2).sum())
