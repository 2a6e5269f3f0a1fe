"""Eigenvalues and eigenvectors of symmetric matrices, of bad ones too."""

import torch
from torch import Tensor


def eigenpairs(x: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, the smallest first, and eigenvectors as columns, in float64; or NaN for all.

    A matrix with an infinity or a NaN has no eigenvalues. LAPACK raises at it, and one bad gradient
    would end a run; here it is passed on, as by rules that work entry by entry.

    Args:
        x: of shape (n, n); its lower triangle is read.

    Returns:
        Tensors of shapes (n,) and (n, n).
    """
    wide = x.double()
    sound = wide.isfinite().all()
    values, vectors = torch.linalg.eigh(torch.where(sound, wide, 0.0))
    return torch.where(sound, values, torch.nan), torch.where(sound, vectors, torch.nan)
