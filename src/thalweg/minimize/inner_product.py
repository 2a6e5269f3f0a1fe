"""Inner products of long vectors, at the memory's speed and with their digits kept.

Entries are multiplied and added in their own precision some ten thousand at a time, and those sums
in float64. Added one to the other in float32, 25 million squares lose their third digit; converted
to float64 first, they take ten times as long.
"""

import math

import torch
from torch import Tensor

ADDED_AT_ONCE = 1 << 16


def dot(left: Tensor, right: Tensor) -> float:
    """left'right."""
    if len(left) <= ADDED_AT_ONCE:
        return float(torch.dot(left, right))
    parts = zip(torch.split(left, ADDED_AT_ONCE), torch.split(right, ADDED_AT_ONCE), strict=True)
    return float(torch.stack([torch.dot(x, y) for x, y in parts]).double().sum())


def length(vector: Tensor) -> float:
    """|v|."""
    return math.sqrt(dot(vector, vector))
