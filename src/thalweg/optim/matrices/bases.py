"""Eigenbases of symmetric matrices, anew or from the last one."""

import torch
from torch import Tensor

from thalweg.optim.matrices.eigenpairs import eigenpairs


def eigenbasis(x: Tensor) -> Tensor:
    """Orthonormal eigenvectors of a symmetric matrix (n, n), as columns, the largest value first.

    Computed in float64, returned in the type of x; NaN if x is not finite.
    """
    return torch.flip(eigenpairs(x)[1], (1,)).to(x.dtype)


def refreshed(x: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """A step towards the eigenbasis of a symmetric matrix that has moved a little.

    The columns q of the old basis are put in the order of q^T x q, the largest first; then one
    power iteration, x Q, and its orthonormal factor.

    Args:
        x: of shape (n, n).
        basis: the old one, with orthonormal columns.

    Returns:
        The new basis, and the old columns' new order, of shape (n,).

    Reference: Vyas et al. (2024), arXiv 2409.11321, algorithm 4.
    """
    image = x @ basis
    order = torch.argsort((basis * image).sum(0), descending=True, stable=True)
    return torch.linalg.qr(image[:, order])[0], order
