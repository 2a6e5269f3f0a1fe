r"""Residuals r(x) of a loss c |r|^2 / 2, and the linear least squares problem that they pose.

    min over d of  |J d + r|^2 + lambda |D d|^2,      J = dr/dx,   B = c J'J,   g = c J'r

Solved with J itself, never with J'J, whose condition number is the square of J's. For few
parameters J is written down and J D^-1 taken apart by its singular values; for many, LSMR takes
products with J and J', and D = I.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from thalweg.linalg import lsmr
from thalweg.linalg.products import dot, length
from thalweg.minimize.contract import Place
from thalweg.minimize.directions.damped_model import DampedModel, reciprocal, roots
from thalweg.minimize.directions.models import Products
from thalweg.operators import Jacobian, LinearMap

ResidualFunction = Callable[[Tensor], Tensor]

# The cosine between a loss's gradient and J'r; 1 but for rounding.
LEAST_COSINE = 0.9


@final
@dataclass(frozen=True, eq=False)
class DenseResiduals:
    """J written down.

    Attributes:
        jacobian: J, shape (m, n).
        residual: r, shape (m,).
        unit: c.
    """

    jacobian: Tensor
    residual: Tensor
    unit: float

    def diagonal(self) -> Tensor:
        """c |J_j|^2 of each column, shape (n,)."""
        squares: Tensor = self.jacobian.square().sum(0)
        return self.unit * squares

    def step(self, damping: float, scale: Tensor | None) -> Tensor:
        """d by the singular values of J D^-1; the shortest D d where there is no damping."""
        wide = self.jacobian.double()
        d = roots(scale, wide[0])
        u, s, vt = torch.linalg.svd(wide / d, full_matrices=False)
        s = torch.where(s > max(wide.shape) * torch.finfo(s.dtype).eps * s[0], s, 0.0)
        shares = s * reciprocal(s.square() + damping / self.unit)
        z: Tensor = -(vt.T @ (shares * (u.T @ self.residual.double())))
        return (z / d).to(self.jacobian.dtype)

    def curvature(self, d: Tensor) -> float:
        """d'Bd = c |J d|^2."""
        return self.unit * length(self.jacobian @ d) ** 2


@final
@dataclass(frozen=True, eq=False)
class ProductResiduals:
    """J by its products.

    Attributes:
        jacobian: J.
        residual: r, shape (m,).
        unit: c.
        tol: |J'(J d + r) + lambda d| <= tol |J| |J d + r|, as `linalg.lsmr` says it.
        max_products: with J and with J', in a step.
    """

    jacobian: LinearMap
    residual: Tensor
    unit: float
    tol: float
    max_products: int

    def diagonal(self) -> None:
        """Not known."""

    def step(self, damping: float, scale: Tensor | None) -> Tensor:
        """d by LSMR."""
        if scale is not None:
            raise ValueError("ProductResiduals.step: a model known by products has no scale.")
        return lsmr(
            self.jacobian,
            -self.residual,
            tol=self.tol,
            max_products=self.max_products,
            damping=damping / self.unit,
        ).x

    def curvature(self, d: Tensor) -> float:
        """d'Bd = c |J d|^2, for one product."""
        return self.unit * length(self.jacobian @ d) ** 2


def linearized(
    direction: str,
    function: ResidualFunction,
    at: Place,
    *,
    largest: int,
    tol: float,
    max_products: int,
) -> DampedModel:
    """The residuals' model at a place, dense for at most `largest` parameters.

    Raises:
        ValueError: the loss is not a multiple of |r|^2: its gradient points elsewhere than J'r.
    """
    jacobian = Jacobian(lambda params: function(params["x"]), {"x": at.x})
    residual = jacobian.value
    unit = unit_of(direction, jacobian.T @ residual, at.gradient)
    if len(at.x) > largest:
        return ProductResiduals(jacobian, residual, unit, tol, max_products)
    with jacobian:
        return DenseResiduals(jacobian.to_dense(), residual, unit)


def squared_jacobian(direction: str, function: ResidualFunction, at: Place) -> Products:
    """B = c J'J at a place, by products with J and J'.

    Raises:
        ValueError: as `linearized` does.
    """
    jacobian = Jacobian(lambda params: function(params["x"]), {"x": at.x})
    unit = unit_of(direction, jacobian.T @ jacobian.value, at.gradient)
    facts = frozenset({"psd"})
    return Products("c J'J", lambda v: unit * (jacobian.T @ (jacobian @ v)), at.x, facts)


def unit_of(direction: str, pulled: Tensor, gradient: Tensor) -> float:
    """c of g = c J'r; 1 where both are zero.

    Raises:
        ValueError: there is no such c.
    """
    inner, sizes = dot(pulled, gradient), length(pulled) * length(gradient)
    if sizes == 0:
        return 1.0
    if inner < LEAST_COSINE * sizes:
        raise ValueError(
            f"{direction}(residuals=...): the loss's gradient and J'r of these residuals have the "
            f"cosine {inner / sizes:.3g}, so the loss is no multiple of |r|^2. Give the residuals "
            "whose squares the loss adds up."
        )
    return inner / length(pulled) ** 2
