"""Products with A as a solver takes them: counted, checked, damped, in a precision to add up in.

A vector is scaled by a power of two to a length near 1 on its way in and back on its way out, so a
small residual does not underflow in half precision, and no digit changes in any other. Half
precision is accumulated in float32, float32's dot products in float64.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from thalweg.linalg.basis import norm
from thalweg.operators import LinearMap, Operator

# Entries whose copies in float64 a dot product holds at a time.
CHUNK = 1 << 22


class Products(ABC):
    """Products with a matrix B made of A and its damping.

    Attributes:
        operator: A.
        taken: products so far, with B or B'.
        norm: the largest |B v| / |v| seen, at most |B|.
        eps: unit of rounding of a product.
    """

    def __init__(self, operator: LinearMap, damping: float) -> None:
        self.operator = operator
        self.taken = 0
        self.norm = 0.0
        self.eps = torch.finfo(operator.dtype).eps
        self._damping = damping

    @property
    @abstractmethod
    def gap(self) -> float:
        """What the damping alone guarantees of B: no singular value is smaller."""

    @abstractmethod
    def forward(self, vector: Tensor) -> Tensor:
        """B v."""

    @abstractmethod
    def backward(self, vector: Tensor) -> Tensor:
        """B' u."""

    @abstractmethod
    def padded(self, rhs: Tensor) -> Tensor:
        """The right-hand side that goes with B."""

    def _times(self, matrix: LinearMap, vector: Tensor) -> Tensor:
        """The bare product, in the vector's dtype."""
        return (matrix @ vector.to(matrix.dtype)).to(vector.dtype)

    def _measured(self, product: Callable[[Tensor], Tensor], vector: Tensor) -> Tensor:
        """`product` of a vector, counted and checked.

        Raises:
            FloatingPointError: it is not finite.
        """
        length = norm(vector)
        scale = power_of_two(length)
        result = product(vector / scale)
        self.taken += 1
        stretched = norm(result)
        if not math.isfinite(stretched):
            raise FloatingPointError(self._not_finite(result))
        if length > 0:
            self.norm = max(self.norm, stretched / (length / scale))
        return result * scale

    def _not_finite(self, result: Tensor) -> str:
        bad = int((~torch.isfinite(result)).sum())
        return (
            f"{self.operator.name} @ v is not finite in {bad} of {len(result)} entries at product "
            f"{self.taken}, for a vector of about length 1: the curvature has no value here. Go "
            "back to parameters with a finite loss, or use float64."
        )


@final
class Shifted(Products):
    """B = A + damping I for a symmetric A."""

    @property
    def gap(self) -> float:
        """The damping, if A is known to be positive semidefinite."""
        known = isinstance(self.operator, Operator) and "psd" in self.operator.facts
        return self._damping if known else 0.0

    def forward(self, vector: Tensor) -> Tensor:
        """A v + damping v."""
        return self._measured(self._product, vector)

    def backward(self, vector: Tensor) -> Tensor:
        """The same: B is symmetric."""
        return self.forward(vector)

    def padded(self, rhs: Tensor) -> Tensor:
        """As it is."""
        return rhs

    def _product(self, vector: Tensor) -> Tensor:
        product = self._times(self.operator, vector)
        return product + self._damping * vector if self._damping else product


@final
class Stacked(Products):
    """B = [A; sqrt(damping) I]: its least squares problem is |b - A x|^2 + damping |x|^2."""

    @property
    def gap(self) -> float:
        """The root of the damping."""
        return math.sqrt(self._damping)

    def forward(self, vector: Tensor) -> Tensor:
        """A v, and sqrt(damping) v below it where there is damping."""
        return self._measured(self._product, vector)

    def backward(self, vector: Tensor) -> Tensor:
        """A' u, and the part below times sqrt(damping)."""
        return self._measured(self._transposed, vector)

    def padded(self, rhs: Tensor) -> Tensor:
        """With zeros below it where there is damping."""
        below = rhs.new_zeros(self.operator.shape[1] if self._damping else 0)
        return torch.cat([rhs, below])

    def _product(self, vector: Tensor) -> Tensor:
        product = self._times(self.operator, vector)
        return torch.cat([product, self.gap * vector]) if self._damping else product

    def _transposed(self, vector: Tensor) -> Tensor:
        m = self.operator.shape[0]
        product = self._times(self.operator.T, vector[:m])
        return product + self.gap * vector[m:] if self._damping else product


def power_of_two(length: float) -> float:
    """The power of two next to `length`, within a factor of two; 1 for zero."""
    return math.ldexp(1.0, max(math.frexp(length)[1] - 1, -1000)) if length else 1.0


def dot(left: Tensor, right: Tensor) -> float:
    """left'right, added up in float64."""
    parts = zip(torch.split(left, CHUNK), torch.split(right, CHUNK), strict=True)
    return float(sum(torch.dot(x.double(), y.double()) for x, y in parts))


def length(vector: Tensor) -> float:
    """|v|, added up in float64."""
    return math.sqrt(dot(vector, vector))
