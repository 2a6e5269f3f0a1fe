"""The units of a parameter: the slices that belong to one output of a layer.

A matrix or a convolution's kernel has a unit for each index of its first dimension, as PyTorch lays
layers out; a vector or a single number is one unit.
"""

from typing import Any

import torch
from torch import Tensor


def unit_norm(x: Tensor) -> Tensor:
    """The Euclidean length of each unit, in a shape that multiplies `x`."""
    inside = tuple(range(1, x.dim())) if x.dim() > 1 else None
    length: Tensor = torch.linalg.vector_norm(x, dim=inside, keepdim=True)
    return length


def within(x: Tensor, bound: Any) -> Tensor:
    """Each unit shortened to the length `bound` if it is longer: x min(1, bound / |x|)."""
    shorter: Tensor = x * (bound / torch.clamp(unit_norm(x), min=bound))
    return shorter
