r"""Gauss-Newton: Newton's step without the curvature of the model itself.

    d = -B^-1 g,        B = J'HJ;     of residuals, f = c |r|^2 / 2:   min over d of |J d + r|

For residuals it solves the linear least squares problem that their first derivatives pose, with J
and not with J'J; the step of least length where there are several. Near a solution with small
residuals it converges as Newton's method does, with first derivatives alone; far from one, it may
go too far, and levenberg_marquardt holds it back.

J. Nocedal & S. Wright, *Numerical Optimization* (2006), section 10.3.

Cost: dense, min(m, n) products for m residuals, and the singular values of J; otherwise two
products for each step of LSMR, or one for each of CG.
"""

from typing import final

from thalweg.minimize.contract import Need, Place, Proposal
from thalweg.minimize.directions.damped_model import DampedModel, DenseModel, ProductModel
from thalweg.minimize.directions.least_squares import (
    ResidualFunction,
    linearized,
    squared_jacobian,
)
from thalweg.minimize.directions.memoryless import Memoryless
from thalweg.minimize.directions.models import Asked, gauss_newton_model
from thalweg.minimize.directions.quadratic_model import proposed
from thalweg.minimize.directions.settings import check_count, check_share

# Tolerances of iterative solutions: LSMR's is one of the residuals, CG's a share of the gradient.
EXACT, INEXACT = 1e-6, 0.1


@final
class Models:
    """Makes the model of a place: from residuals, or from the place's own Gauss-Newton matrix.

    Args:
        direction: whose models they are, for error messages.
        residuals: r(x), from a flat vector to a tensor; None for the place's matrix.
        largest: the most parameters to write a matrix down for.
        tol: of the iterative solution beyond; None for `INEXACT` by CG, `EXACT` by LSMR.
        max_products: of the same.

    Attributes:
        needs: what places must know.
    """

    def __init__(
        self,
        direction: str,
        residuals: ResidualFunction | None,
        *,
        largest: int,
        tol: float | None,
        max_products: int,
    ) -> None:
        check_count(direction, "largest", largest)
        check_share(direction, "tol", tol)
        check_count(direction, "max_products", max_products)
        self.direction, self.residuals = direction, residuals
        self.largest, self.tol, self.max_products = largest, tol, max_products
        self.needs: frozenset[Need] = frozenset({"gauss-newton"} if residuals is None else ())

    def at(self, place: Place) -> DampedModel:
        """The model there."""
        if self.residuals is not None:
            return linearized(
                self.direction,
                self.residuals,
                place,
                largest=self.largest,
                tol=self.tol or EXACT,
                max_products=self.max_products,
            )
        matrix = place.gauss_newton()
        if len(place.x) <= self.largest:
            return DenseModel(matrix.to_dense(), place.gradient)
        return ProductModel(matrix, place.gradient, self.tol or INEXACT, self.max_products)

    def model(self) -> Asked:
        """B, for a trust region."""
        residuals = self.residuals
        if residuals is None:
            return gauss_newton_model()
        return Asked(lambda place: squared_jacobian(self.direction, residuals, place))


@final
class GaussNewton(Memoryless):
    """The Gauss-Newton method.

    Args:
        residuals: r(x), from a flat vector of shape (n,) to a tensor, of a loss that is a multiple
            of |r|^2; None takes the place's Gauss-Newton matrix.
        largest: up to so many parameters J (or the matrix) is written down and solved with
            directly; beyond, by LSMR (or CG).
        tol: of the iterative solution.
        max_products: in a step, of the same.

    Raises:
        ValueError: a setting out of its domain; from `propose`, the loss is no multiple of |r|^2.
    """

    name = "gauss-newton"

    def __init__(
        self,
        residuals: ResidualFunction | None = None,
        *,
        largest: int = 500,
        tol: float = 1e-6,
        max_products: int = 500,
    ) -> None:
        self.models = Models(
            type(self).__name__, residuals, largest=largest, tol=tol, max_products=max_products
        )
        self.needs = self.models.needs

    def model(self) -> Asked:
        """B."""
        return self.models.model()

    def propose(self, at: Place) -> Proposal:
        """The Gauss-Newton step."""
        model = self.models.at(at)
        d = model.step(0.0, None)
        return proposed(d, at.gradient, curvature=model.curvature(d))
