r"""Whitening: linear maps that make the covariance C = U diag(v) U^T the identity.

    ZCA:  W = U diag(v^-1/2) U^T,    PCA:  W = U diag(v^-1/2),    z = (x - mean) W.

They differ by a rotation. ZCA is the one that moves the data least, so that a whitened image still
looks like one; PCA orders the directions by the variance they had, and can leave the last ones out.
Directions without variance cannot be scaled to any: both map them to zero.

A. J. Bell & T. J. Sejnowski, *The "independent components" of natural scenes are edge filters*
(Vision Research 37, 1997), for ZCA; Y. LeCun, L. Bottou, G. B. Orr & K.-R. Müller, *Efficient
BackProp* (1998), section 4.3, for why.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

FLOOR = 1e-12  # of the largest variance: what lies below cannot be told from none


class Whitening(NamedTuple):
    """A whitening map and its way back, for rows: z = x `into`, x = z `back`.

    Attributes:
        into: (d, k).
        back: (k, d), the pseudo-inverse of `into`.
    """

    into: Tensor
    back: Tensor


def zca(covariance: Tensor, floor: float = FLOOR) -> Whitening:
    """C^-1/2 and C^1/2, symmetric (d, d), over the directions that vary."""
    values, vectors = torch.linalg.eigh(covariance)
    roots = positive_roots(values, floor)
    return Whitening(
        vectors * inverse(roots) @ vectors.T,
        vectors * roots @ vectors.T,
    )


def pca(covariance: Tensor, components: int | None = None, floor: float = FLOOR) -> Whitening:
    """Along the `components` eigenvectors of most variance, first the greatest; all if None.

    An eigenvector points to where its entry of greatest absolute value is positive.
    """
    values, vectors = torch.linalg.eigh(covariance)
    order = values.argsort(descending=True)[:components]
    roots, axes = positive_roots(values, floor)[order], vectors[:, order]
    axes = axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
    return Whitening(axes * inverse(roots), (axes * roots).T)


def inverse_root(second: Tensor, floor: float = FLOOR) -> Tensor:
    """The symmetric inverse square root of second moments; null directions are mapped to zero."""
    return zca(second, floor).into


def positive_roots(values: Tensor, floor: float) -> Tensor:
    """Deviations along eigenvectors, zero where they cannot be told from it."""
    return torch.where(values > floor * values.max(), values.clamp_min(0).sqrt(), 0.0)


def inverse(roots: Tensor) -> Tensor:
    """1 / root, and zero of zero."""
    return torch.where(roots > 0, 1 / roots, 0.0)
