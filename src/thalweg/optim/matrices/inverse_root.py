"""Inverse roots of symmetric matrices."""

import torch
from torch import Tensor

from thalweg.optim.matrices.eigenpairs import eigenpairs


def inverse_root(x: Tensor, root: float) -> Tensor:
    """x^(-1 / root) of a positive semidefinite matrix; directions that it does not see go to zero.

    By eigenvalues, in float64: a fourth root of a float32 matrix of condition 1e7 would otherwise
    be lost to rounding. An eigenvalue counts as zero below n * 2.2e-16 times the largest, since
    only rounding is there.

    Args:
        x: of shape (n, n); its lower triangle is read.
        root: 4 for x^(-1/4).

    Returns:
        A float64 matrix of shape (n, n), of NaN if x is not finite.
    """
    values, vectors = eigenpairs(x)
    floor = len(x) * torch.finfo(torch.float64).eps * values.amax() if len(x) else 0.0
    powers = torch.where(values > floor, values, torch.inf) ** (-1 / root)
    return torch.matmul(vectors * powers, vectors.T)
