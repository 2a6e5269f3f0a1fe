"""The Cauchy point: the model's minimum along the gradient, within the radius.

    d = -min(|g| / u'Bu, radius) u,   u = g / |g|;   to the boundary where u'Bu <= 0

What a trust region needs at least to converge: every other step is to promise as much. A. Conn,
N. Gould & P. Toint, *Trust-Region Methods* (2000), section 6.3. Cost: one product.
"""

from typing import final

from torch import Tensor

from thalweg.linalg.directions import along
from thalweg.linalg.products import Shifted, dot, length
from thalweg.minimize.contract import TrialStep
from thalweg.minimize.searches.trust_region.model import decrease, nowhere, posed
from thalweg.operators import Operator


@final
class Cauchy:
    """The model's minimum along the gradient, within the radius."""

    def step(self, model: Operator, gradient: Tensor, radius: float) -> TrialStep:
        """The step; see `contract.Subproblem`. Zero where the gradient is.

        Raises:
            TypeError, ValueError: a problem that makes no sense; see `trust_region.model`.
            FloatingPointError: a product is not finite.
        """
        products = posed("Cauchy", model, gradient, radius)
        if not (size := length(gradient)):
            return nowhere(gradient, 0)
        unit = gradient / size
        return cauchy(products, gradient, unit, products.forward(unit), radius)


def cauchy(
    products: Shifted, gradient: Tensor, unit: Tensor, product: Tensor, radius: float
) -> TrialStep:
    """The step, given u and B u."""
    tau = cauchy_length(length(gradient), dot(unit, product), radius)
    direction = along(products, unit, product)
    return TrialStep(
        vector=-tau * unit,
        decrease=decrease(gradient, -tau * unit, -tau * product),
        on_boundary=tau == radius,
        products=products.taken,
        negative=direction.vector if direction.negative else None,
    )


def cauchy_length(slope: float, curvature: float, radius: float) -> float:
    """How far to go along -u: |g| / u'Bu, or to the radius."""
    return min(slope / curvature, radius) if curvature > 0 else radius
