r"""Newton-MINRES: the Newton step of least residual, for any Hessian (Newton-MR).

    MINRES on H d = -g,  stopped at |H d + g| <= eta |g|, at a least squares solution, or at a
    residual r with r'Hr < 0

A singular H needs nothing special: where g has a part outside its range, d solves for the rest.
Until a residual of negative curvature is met, H is positive on the space spanned, and d leads down.
Once it is met, r itself is the way: g'r = -|r|^2, so it leads down to first and to second order. It
is given the length that a positive curvature of that size would give it,

    d = -(g'r / |r'Hr|) r

Y. Liu & F. Roosta, *SIAM J. Optim.* 32 (2022), on the test; *A Newton-MR algorithm with complexity
guarantees for nonconvex smooth unconstrained optimization* (arXiv 2208.07095), on the method, which
searches from the length of r. The stop is `directions.forcing`'s.

Cost: a product for each step of MINRES and two or three at the end. Memory: 11 n numbers.
"""

from typing import final

from torch import Tensor

from thalweg.linalg import minres
from thalweg.linalg.products import dot
from thalweg.linalg.solution import Direction
from thalweg.minimize.contract import Proposal
from thalweg.minimize.directions.inexact_newton import InexactNewton
from thalweg.minimize.directions.quadratic_model import proposed
from thalweg.operators import Operator


def newton_minres_step(
    hessian: Operator, gradient: Tensor, *, eta: float = 1e-6, max_products: int = 250
) -> Proposal:
    """The step by MINRES.

    Args:
        hessian: H, any symmetric operator.
        gradient: g, not zero, shape (n,).
        eta: |H d + g| <= eta |g|.
        max_products: with H, but for one that measures the step's curvature.
    """
    solution = minres(
        hessian, -gradient, tol=eta, max_products=max_products, stop_at_negative_curvature=True
    )
    if solution.direction is not None and solution.direction.negative:
        return downward(solution.direction, gradient)
    if not bool(solution.x.any()):  # H g = 0: nothing bends along the gradient
        return proposed(-gradient, gradient, curvature=0.0)
    return proposed(solution.x, gradient, curvature=dot(solution.x, hessian @ solution.x))


def downward(bend: Direction, gradient: Tensor) -> Proposal:
    """Along a unit r of negative curvature; see the module."""
    length = -dot(gradient, bend.vector) / abs(bend.value)
    return proposed(length * bend.vector, gradient, curvature=length**2 * bend.value)


@final
class NewtonMINRES(InexactNewton):
    """Newton's method by MINRES, which takes singular and indefinite Hessians as they come.

    Args:
        eta: |H d + g| <= eta |g| at every step; None for the forcing sequence.
        max_products: with the Hessian, in a step.

    Attributes:
        eta: of the next step.

    Raises:
        ValueError: a setting out of its domain.
        FloatingPointError: from `propose`, a product is not finite.
    """

    name = "newton-minres"

    def solve(self, hessian: Operator, gradient: Tensor) -> Proposal:
        """The step by MINRES."""
        return newton_minres_step(hessian, gradient, eta=self.eta, max_products=self.max_products)
