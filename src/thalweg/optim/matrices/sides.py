"""The two sides of a parameter: which of them have a matrix of their own, and how they act."""

import torch
from torch import Tensor

from thalweg.optim.matrices.shapes import as_matrix, in_single


def left_zeros(p: Tensor, limit: int) -> Tensor | None:
    """A zero matrix (n, n) for a parameter that as a matrix has n rows; None if n > limit."""
    n = as_matrix(p).shape[0]
    return in_single(p.new_zeros(n, n)) if n <= limit else None


def right_zeros(p: Tensor, limit: int) -> Tensor | None:
    """A zero matrix (k, k) for k columns; None if k > limit, and for vectors and numbers."""
    k = as_matrix(p).shape[1]
    return in_single(p.new_zeros(k, k)) if k <= limit and p.dim() > 1 else None


def between(left: Tensor | None, x: Tensor, right: Tensor | None) -> Tensor:
    """left x right^T; a side that is None is left out.

    Args:
        left: of shape (a, n), or None.
        x: of shape (n, k).
        right: of shape (b, k), or None.
    """
    x = x if left is None else left.to(x.dtype) @ x
    return x if right is None else x @ right.to(x.dtype).T


def second_moments(
    left: Tensor | None, right: Tensor | None, x: Tensor, keep: float, take: float
) -> tuple[Tensor | None, Tensor | None]:
    """keep left + take x x^T, and keep right + take x^T x, for the sides that are kept."""
    return (
        None if left is None else torch.addmm(left, x, x.T, beta=keep, alpha=take),
        None if right is None else torch.addmm(right, x.T, x, beta=keep, alpha=take),
    )
