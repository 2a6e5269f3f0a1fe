"""Tensors seen as matrices, and half precision seen as single."""

import torch
from torch import Tensor


def as_matrix(x: Tensor) -> Tensor:
    """A tensor of any shape as a matrix.

    Of three and more dimensions, the first stands against all others, as a convolution's output
    channels stand against its patches: (o, i, h, w) becomes (o, i h w). A vector of length n is a
    column (n, 1), a number (1, 1).
    """
    if x.dim() == 2:
        return x
    rows = x.shape[0] if x.dim() else 1
    return x.reshape(rows, x[0].numel() if rows and x.dim() else 1)


def in_single(x: Tensor) -> Tensor:
    """Half precision as float32, in which sums of squares neither overflow nor vanish."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
