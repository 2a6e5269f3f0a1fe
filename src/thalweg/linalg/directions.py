"""The curvature along a direction, from a product, and what of it is rounding."""

from torch import Tensor

from thalweg.linalg.products import Products, dot, length
from thalweg.linalg.solution import Direction
from thalweg.linalg.stopping import ROUNDING_UNITS


def along(products: Products, vector: Tensor, product: Tensor) -> Direction:
    """Of B along v, shape (n,), given B v."""
    size = length(vector)
    unit = vector / size
    return Direction(
        vector=unit.to(products.operator.dtype),
        value=dot(unit, product / size),
        error=ROUNDING_UNITS * products.eps * products.norm,
    )


def flat(products: Products, vector: Tensor, units: float = 1) -> float:
    """The v'B v below which rounding says that it is zero."""
    return units * products.eps * products.norm * dot(vector, vector)
