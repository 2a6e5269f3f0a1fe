"""A sum of squares with a start and known minima, and vectors to write them with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor


@final
@dataclass(frozen=True, eq=False)
class SumOfSquares:
    """f(x) = sum of r_i(x)^2.

    Attributes:
        residuals: from a point (n,) to r, of shape (m,).
        start: the standard start, shape (n,), float64.
        minima: the values of the local minima that the paper lists, in its digits.
    """

    residuals: Callable[[Tensor], Tensor]
    start: Tensor
    minima: tuple[float, ...] = (0.0,)

    def loss(self, x: Tensor) -> Tensor:
        """The sum of the squared residuals."""
        return self.residuals(x).square().sum()

    def has_minimum(self, value: float) -> bool:
        """Whether `value` is that of a known minimum, to the six or seven digits published."""
        return any(abs(value - known) <= 1e-6 * known + 1e-9 for known in self.minima)


def vector(*entries: float) -> Tensor:
    """The entries in float64."""
    return torch.tensor(entries, dtype=torch.float64)


def upto(m: int) -> Tensor:
    """1, 2, ..., m in float64."""
    return torch.arange(1, m + 1, dtype=torch.float64)
