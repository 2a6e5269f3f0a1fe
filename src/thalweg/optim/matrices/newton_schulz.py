"""Orthogonalization by multiplications alone."""

import torch
from torch import Tensor


def newton_schulz(
    x: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
) -> Tensor:
    """A matrix with its singular values driven towards 1, and its singular vectors kept.

    With X = U S V^T, one step X <- a X + b (X X^T) X + c (X X^T)^2 X sends each singular value s to
    a s + b s^3 + c s^5. The first step starts from X / |X| (Frobenius), so that none exceeds 1.
    Costs `steps` times 4 r^2 m + 2 r^3 operations, r <= m the sides. Works in the type of x.

    Args:
        x: of shape (n, m).
        coefficients: a, b, c.
        steps: how often.
        eps: the smallest norm to divide by.

    Reference: Bernstein & Newhouse (2024), arXiv 2409.20325, appendix A; Jordan et al. (2024).
    """
    a, b, c = coefficients
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / torch.linalg.vector_norm(x).clamp(min=eps)
    for _ in range(int(steps)):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x
