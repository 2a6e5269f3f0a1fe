"""Orthogonal matrices drawn uniformly.

A. M. Saxe, J. L. McClelland & S. Ganguli, *Exact solutions to the nonlinear dynamics of learning in
deep linear neural networks* (ICLR 2014): every singular value is 1, not on average only, so that no
direction grows or fades on its way through many layers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def orthogonal(rows: int, columns: int, random: torch.Generator | None = None) -> Tensor:
    """A matrix with orthonormal rows, or columns where there are fewer of these, in float64."""
    tall = torch.empty(max(rows, columns), min(rows, columns), dtype=torch.float64)
    nn.init.orthogonal_(tall, generator=random)
    return tall if rows >= columns else tall.T
