r"""Conditioning weighted by what is still to be gained.

A direction of curvature lambda in which the gradient has the component g_i can lower the loss by
g_i^2 / (2 |lambda_i|), to second order, in about 1 / (rate |lambda_i|) steps of gradient descent. A
flat direction slows nothing down where there is nothing to gain. Lanczos from the gradient gives
the gradient's spectral measure, whose weights are the g_i^2 (`linalg.measure`); the gain is summed
by curvature over its nodes.

For a positive definite operator the total is at most g'A^-1 g / 2, and grows towards it with every
product (Golub & Meurant, *Matrices, Moments and Quadrature*, 2010, chapter 6). For an indefinite
one a node may lie near 0 by accident; what stands on such nodes is told as `unresolved`.

On the spread of eigenvalues and the steps it costs: Y. LeCun, L. Bottou, G. Orr & K.-R. Muller,
*Efficient BackProp* (1998), section 5.
"""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from thalweg.linalg.krylov import Krylov
from thalweg.linalg.measure import Measure
from thalweg.linalg.probing import check_operator, check_products
from thalweg.operators import Operator


@final
@dataclass(frozen=True, eq=False)
class GainConditioning:
    """What is to be gained in which curvature, to second order, at a given gradient.

    Attributes:
        curvatures: lambda, ascending, of the directions that the gradient has a part in, as many
            as the run resolved; float64, shape (m,).
        gains: g_i^2 / (2 |lambda_i|) in each, in units of the loss; float64, shape (m,).
        largest: the largest |lambda| seen, which limits a step, gain or none. A direction that the
            gradient has no part in is not seen; `lanczos` finds the operator's own.
        threshold: |lambda| at most this counts as 0; there the gain has no second-order bound.
        unbounded: share of |g|^2 that lies in such directions.
        unresolved: share of the gain at curvatures that may be 0 for all the run knows.
        error: share by which the total gain moved with the last quarter of the products.
        products: that it took.
    """

    curvatures: Tensor
    gains: Tensor
    largest: float
    threshold: float
    unbounded: float
    unresolved: float
    error: float
    products: int

    @property
    def total(self) -> float:
        """The whole gain to be had, in units of the loss."""
        return float(self.gains.sum())

    @property
    def number(self) -> float:
        """The weighted condition number: the largest curvature by the gain's typical one.

        kappa_g = largest / (sum gain |lambda| / sum gain): the typical curvature is the mean by
        gain. 1 where all gain lies where the curvature is largest, and near `condition_number`
        where all gain lies in the flattest directions. nan without a gain.
        """
        if not self.total:
            return math.nan
        return self.largest * self.total / float(self.gains @ self.curvatures.abs())

    def share_beyond(self, number: float) -> float:
        """The share of the gain in directions whose curvature is below `largest` / `number`.

        Gradient descent at a stable rate takes about `number` steps or more for it.

        Raises:
            ValueError: `number` is below 1.
        """
        if not number >= 1:
            raise ValueError(f"share_beyond({number}): a condition number is at least 1.")
        slow = self.curvatures.abs() < self.largest / number
        return float(self.gains[slow].sum()) / self.total if self.total else 0.0


def gain_conditioning(
    operator: Operator,
    gradient: Tensor,
    *,
    threshold: float | None = None,
    products: int = 100,
) -> GainConditioning:
    """The conditioning of `operator`, weighted by what `gradient` says is still to be gained.

    Args:
        operator: symmetric, n x n: the Hessian, or an approximation, where the gradient is taken.
        gradient: g, flat, shape (n,), such as `Hessian.gradient`.
        threshold: |lambda| at most this counts as 0; the rounding of the products if None.
        products: to take at most; fewer where the gradient lies in fewer eigenvectors.

    Raises:
        TypeError: `operator` is not an Operator, or the gradient of another dtype.
        ValueError: a gradient of another shape, zero or not finite; a threshold below 0; no
            product.
        FloatingPointError: a product is not finite.

    Nothing is random. Reliable where `error` and `unresolved` are small; the flattest directions
    converge last.
    """
    check_operator("gain_conditioning", operator)
    check_products("gain_conditioning", products, 1, "a direction")
    if threshold is not None and not 0 <= threshold < math.inf:
        raise ValueError(
            f"gain_conditioning(threshold={threshold}): give a curvature that counts as none, at "
            "least 0, or None for the rounding of the products."
        )
    krylov = Krylov(operator, seed=0, start=gradient)
    while krylov.dimension < products and not krylov.complete and not krylov.closed:
        krylov.grow()
    measure = Measure.of(krylov)
    limit = max(krylov.rounding, threshold or 0.0)
    squared = float(gradient.double().square().sum())
    curved = (measure.nodes.abs() > limit) & (
        measure.weights > torch.finfo(gradient.dtype).eps ** 2
    )
    gains = squared * measure.weights[curved] / (2 * measure.nodes[curved].abs())
    unsure = (measure.errors >= measure.nodes.abs())[curved]
    coarse = total_gain(*measure.coarse, limit) * squared
    total = float(gains.sum())
    return GainConditioning(
        curvatures=measure.nodes[curved],
        gains=gains,
        largest=float(measure.nodes.abs().max()),
        threshold=limit,
        unbounded=float(measure.weights[measure.nodes.abs() <= limit].sum()),
        unresolved=float(gains[unsure].sum()) / total if total else 0.0,
        error=abs(total - coarse) / total if total else 0.0,
        products=krylov.products,
    )


def total_gain(nodes: Tensor, weights: Tensor, limit: float) -> float:
    """The gain for a gradient of length 1, by a quadrature rule."""
    curved = nodes.abs() > limit
    return float((weights[curved] / (2 * nodes[curved].abs())).sum())
