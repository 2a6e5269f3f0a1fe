"""Dropout with a number of dropped units: the free parameter as the course names it.

PyTorch's `nn.Dropout(p)` drops each unit on its own with the probability p; of n units, n p are
dropped on average. `DropUnits(count)` drops exactly `count` of them, chosen alike:

    y_i = x_i n / (n - count)    or    0

Inverted scaling: what is left is made larger while training, so that the mean over the choices is
x and nothing has to be done in evaluation mode.

Reference: Farkaš, *Neural Networks*, lecture 5, "Dropout"; Srivastava et al. (2014), section 10 for
the scaling.
"""

from typing import final

import torch
from torch import Tensor, nn


@final
class DropUnits(nn.Module):
    """Drops `count` of the units of each example while training; the identity in evaluation mode.

    Units lie along dimension 1: features of (N, C), whole channels of (N, C, ...).

    Args:
        count: how many units of each example are dropped.

    Raises:
        ValueError: no whole number, or a negative one; or, when called, as many as there are
            units or more.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        if count < 0 or count != int(count):
            raise ValueError(
                f"DropUnits({count}): a number of units is 0, 1, 2, ...; for a probability there "
                "is nn.Dropout."
            )
        self.count = int(count)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) to the same shape."""
        if x.dim() < 2 or self.count >= x.shape[1]:
            raise ValueError(
                f"DropUnits({self.count}) on a tensor of shape {tuple(x.shape)}: units lie along "
                "dimension 1, and at least one must be left. Drop fewer."
            )
        if not self.training or not self.count:
            return x
        units = x.shape[1]
        permuted = torch.rand(x.shape[:2], device=x.device).argsort(1)
        left = permuted >= self.count  # exactly `count` numbers are below
        scale = units / (units - self.count)
        return x * (left * scale).to(x.dtype).reshape(*x.shape[:2], *[1] * (x.dim() - 2))

    def extra_repr(self) -> str:
        """The number of dropped units."""
        return f"count={self.count}"
