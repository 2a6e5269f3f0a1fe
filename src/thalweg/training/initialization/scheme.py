"""A scheme: how the weights of one block, a matrix or a kernel, are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from thalweg.training.initialization.orthogonal import orthogonal
from thalweg.training.initialization.variance import variance


@final
@dataclass(frozen=True)
class Scheme:
    """How to draw, from which stream.

    Attributes:
        kind: "lecun", "glorot", "he", "orthogonal" or "identity".
        squared_gain: by which the variance is multiplied; not for "lecun".
        uniform: in +-sqrt(3 variance) rather than normal.
        random: the stream, on the CPU; torch's own if None. One seed gives the same weights in
            float32 on every device.
    """

    kind: str
    squared_gain: float
    uniform: bool
    random: torch.Generator | None

    def linear(self) -> Scheme:
        """The same for a block that has no nonlinearity before it."""
        return Scheme(self.kind, 1.0, self.uniform, self.random)

    def drawn(self, shape: torch.Size, fan_in: float, fan_out: float) -> Tensor:
        """A block in float64, whose rows are outputs."""
        rows = shape[0]
        columns = shape.numel() // rows if rows else 0
        drawn: Tensor
        if self.kind == "identity":
            drawn = torch.eye(rows, columns, dtype=torch.float64)
        elif self.kind == "orthogonal":
            drawn = orthogonal(rows, columns, self.random) * self.squared_gain**0.5
        else:
            deviation = variance(self.kind, fan_in, fan_out, self.squared_gain) ** 0.5
            drawn = self.noise(shape) * deviation
        return drawn.reshape(shape)

    def noise(self, shape: torch.Size) -> Tensor:
        """Independent numbers of mean 0 and variance 1, in float64."""
        if not self.uniform:
            return torch.randn(shape, generator=self.random, dtype=torch.float64)
        return (2 * torch.rand(shape, generator=self.random, dtype=torch.float64) - 1) * 3**0.5
