r"""A positive semidefinite model B = D S D, damped and solved with.

    (B + lambda D^2) d = -g,       D^2 = diag(B) or I

For few parameters B is written down and S = D^-1 B D^-1 taken apart by its eigenvalues, after which
every damping is free; without damping the directions in which S is zero to rounding are left out.
For many, conjugate gradients solve with products, and D = I.
"""

from dataclasses import dataclass
from typing import Protocol, final

import torch
from torch import Tensor

from thalweg.linalg import cg
from thalweg.linalg.products import dot
from thalweg.minimize.directions.spectrum import Spectrum
from thalweg.operators import Operator


class DampedModel(Protocol):
    """What Gauss-Newton and Levenberg-Marquardt ask of a model."""

    def diagonal(self) -> Tensor | None:
        """diag(B), shape (n,); None where B is known by its products alone."""
        ...

    def step(self, damping: float, scale: Tensor | None) -> Tensor:
        """d for lambda = `damping` and D^2 = `scale`, shape (n,); None for I."""
        ...

    def curvature(self, d: Tensor) -> float:
        """d'Bd."""
        ...


@final
@dataclass(frozen=True, eq=False)
class DenseModel:
    """B written down.

    Attributes:
        matrix: B, shape (n, n).
        gradient: g, shape (n,).
    """

    matrix: Tensor
    gradient: Tensor

    def diagonal(self) -> Tensor:
        """diag(B), shape (n,)."""
        return self.matrix.diagonal()

    def step(self, damping: float, scale: Tensor | None) -> Tensor:
        """d by the eigenvalues of D^-1 B D^-1, float64 on the way."""
        d = roots(scale, self.gradient)
        spectrum = Spectrum.of(self.matrix.double() / torch.outer(d, d))
        seen = torch.where(spectrum.values > spectrum.rounding, spectrum.values, 0.0)
        along = spectrum.vectors.T @ (self.gradient.double() / d)
        z = -(spectrum.vectors @ (reciprocal(seen + damping) * along))
        return (z / d).to(self.gradient.dtype)

    def curvature(self, d: Tensor) -> float:
        """d'Bd."""
        return dot(d, self.matrix @ d)


@final
@dataclass(frozen=True, eq=False)
class ProductModel:
    """B by its products.

    Attributes:
        operator: B.
        gradient: g, shape (n,).
        tol: |(B + lambda I) d + g| <= tol |g|.
        max_products: with B, in a step.
    """

    operator: Operator
    gradient: Tensor
    tol: float
    max_products: int

    def diagonal(self) -> None:
        """Not known."""

    def step(self, damping: float, scale: Tensor | None) -> Tensor:
        """d by conjugate gradients; the last iterate, or -g, where B is not positive."""
        if scale is not None:
            raise ValueError("ProductModel.step: a model known by products has no scale.")
        found = cg(
            self.operator,
            -self.gradient,
            tol=self.tol,
            max_products=self.max_products,
            damping=damping,
            allow_indefinite=True,
        )
        return found.x if bool(found.x.any()) else -self.gradient

    def curvature(self, d: Tensor) -> float:
        """d'Bd, for one product."""
        return dot(d, self.operator @ d)


def roots(scale: Tensor | None, like: Tensor) -> Tensor:
    """D, float64, shape (n,), of D^2 = `scale`; 1 for no scale and where it is 0."""
    if scale is None:
        return torch.ones_like(like, dtype=torch.float64)
    return torch.where(scale > 0, scale.double(), 1.0).sqrt()


def reciprocal(values: Tensor) -> Tensor:
    """1 / values; 0 where a value is."""
    return torch.where(values > 0, values, torch.inf).reciprocal()
