"""Magnitude: the smallest weights go. The baseline that knows no curvature.

    saliency of w  =  w^2

Han, Pool, Tran & Dally, *Learning both weights and connections for efficient neural networks*
(arXiv 1506.02626). It is brain damage with the same curvature in every direction.
"""

from __future__ import annotations

from torch import Tensor


def saliencies(weights: Tensor) -> Tensor:
    """w^2, in the weights' shape."""
    return weights.square()
