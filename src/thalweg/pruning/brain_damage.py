r"""Optimal Brain Damage: the loss's second derivative in each weight alone.

    saliency of w_k  =  h_kk w_k^2 / 2

LeCun, Denker & Solla, *Optimal Brain Damage* (NIPS 1990), equation 5: what removing the weight
costs where the gradient is zero, third derivatives are neglected, and the Hessian is diagonal. The
other weights then have nothing to make up for, so nothing is compensated.
"""

from __future__ import annotations

from torch import Tensor


def saliencies(weights: Tensor, diagonal: Tensor) -> Tensor:
    """h w^2 / 2, in the weights' shape.

    Args:
        weights: any shape.
        diagonal: the curvature's diagonal, of that shape. Negative entries, which an estimate or
            a saddle may have, count as zero.
    """
    return diagonal.clamp(min=0) * weights.square() / 2
