"""Steihaug and Toint's step: conjugate gradients on the model, up to the boundary.

    r = g + B d,  p = -r;   alpha = r'r / p'Bp,   d <- d + alpha p,   r <- r + alpha B p,
    beta = r'r / (r'r before),   p <- -r + beta p

It ends where |r| <= tol |g|; where d would leave the region, on the boundary; and where p'Bp <= 0,
the model falls without end along p, at the boundary too. The first iterate is the Cauchy point and
the model falls with each, so the step promises at least as much as the Cauchy point, and on a
convex model at least half of what the best one does (Y. Yuan, 2000).

T. Steihaug, *SIAM J. Numer. Anal.* 20 (1983); P. Toint, in *Sparse Matrices and Their Uses* (1981).
Unlike `linalg.cg` with a radius it spends no product on checking its residual: a step that promises
too much is refused by the loss itself. Cost: one product an iterate. Memory: 5 n numbers.
"""

from dataclasses import dataclass
from typing import final

from torch import Tensor

from thalweg.linalg.directions import along, flat
from thalweg.linalg.products import dot, length
from thalweg.minimize.contract import TrialStep
from thalweg.minimize.searches.trust_region.model import nowhere, posed, to_boundary
from thalweg.operators import Operator


@final
@dataclass(frozen=True)
class Steihaug:
    """Conjugate gradients on the model, up to the boundary.

    Attributes:
        tol: where to stop inside, |g + B d| <= tol |g|.
        max_products: where to stop at the latest.

    Raises:
        ValueError: `tol` not from 0 to below 1, or no product allowed.
    """

    tol: float = 0.1
    max_products: int = 200

    def __post_init__(self) -> None:
        if not 0 <= self.tol < 1:
            raise ValueError(f"Steihaug(tol={self.tol}): give a share of |g|, from 0 to below 1.")
        if self.max_products < 1:
            raise ValueError(
                f"Steihaug(max_products={self.max_products}): it takes at least one product."
            )

    def step(self, model: Operator, gradient: Tensor, radius: float) -> TrialStep:
        """The step; see `contract.Subproblem`. Zero where the gradient is.

        Raises:
            TypeError, ValueError: a problem that makes no sense; see `trust_region.model`.
            FloatingPointError: a product is not finite.
        """
        products = posed("Steihaug", model, gradient, radius)
        if not (size := length(gradient)):
            return nowhere(gradient, 0)
        # Of g / |g| on a region of radius / |g|, so that nothing under- or overflows.
        scaled, reach = gradient / size, radius / size
        d, r, negative = gradient.new_zeros(gradient.shape), scaled, None
        p, rr = -r, dot(r, r)
        boundary = False
        while not boundary and length(r) > self.tol and products.taken < self.max_products:
            q = products.forward(p)
            curvature = dot(p, q)
            boundary = curvature <= flat(products, p) or length(d + rr / curvature * p) >= reach
            alpha = to_boundary(d, p, reach) if boundary else rr / curvature
            if curvature <= 0:
                direction = along(products, p, q)
                negative = direction.vector if direction.negative else None
            d, r = d + alpha * p, r + alpha * q
            rr, before = dot(r, r), rr
            p = -r + rr / before * p
        # B d = r - g, so -m(d) = -(g + r)'d / 2.
        promised = max(-dot(scaled + r, d) / 2, 0.0) * size * size
        return TrialStep(size * d, promised, boundary, products.taken, negative)
