"""Eigendecompositions of symmetric matrices that converge where LAPACK's may not.

LAPACK's divide and conquer gives up on matrices whose entries are subnormal numbers, as saturated
units make them. Scaling by the largest entry, in float64, and dropping what is below the square of
the rounding afterwards changes no eigenvalue by more than rounding, and leaves no such number.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Eigen(NamedTuple):
    """Eigenvalues from the smallest, (..., n), and eigenvectors in columns, (..., n, n)."""

    values: Tensor
    vectors: Tensor


def symmetric_eigen(matrices: Tensor) -> Eigen:
    """The eigendecomposition of each symmetric matrix, (..., n, n), in its own precision."""
    wide = (matrices.double() + matrices.double().mT) / 2
    largest = wide.abs().amax((-2, -1), keepdim=True)
    scale = torch.where(largest > 0, largest, 1.0)
    scaled = wide / scale
    scaled = torch.where(scaled.abs() < torch.finfo(torch.float64).eps ** 2, 0.0, scaled)
    values, vectors = torch.linalg.eigh(scaled)
    values = values * scale.squeeze(-1)
    return Eigen(values.to(matrices.dtype), vectors.to(matrices.dtype))
