"""How long a step may be beside the weights that it changes."""

import torch
from torch import Tensor

from thalweg.optim.matrices.shapes import in_single


def trust(
    p: Tensor, u: Tensor, max_weight_norm: float | None = None, max_trust: float | None = None
) -> Tensor:
    """|p| / |u|, or 1 where either is zero; a 0-d tensor.

    Args:
        p: weights.
        u: a step, of the same shape.
        max_weight_norm: the longest that the weights count.
        max_trust: the largest ratio.
    """
    weights, step = map(torch.linalg.vector_norm, (in_single(p), in_single(u)))
    if max_weight_norm is not None:
        weights = weights.clamp(max=max_weight_norm)
    ratio = torch.where((weights > 0) & (step > 0), weights / step, torch.ones_like(step))
    return ratio if max_trust is None else ratio.clamp(max=max_trust)
