r"""Newton-CG: the Newton step by conjugate gradients, from products with the Hessian alone.

    CG on H d = -g,  stopped at |H d + g| <= eta |g|, or at a p with p'Hp <= 0

Each of CG's directions is one of curvature, and conjugate to those before. While the curvatures are
positive the iterate d minimizes the model over the space spanned, and leads down. At the first p
whose curvature is not, the model has no minimum along p; both d and p lead down, and p'Hd = 0. With
p'Hp < 0, d is continued along p by the length that a positive curvature of that size would give:

    d <- d + tau p,     tau = -g'p / |p'Hp|

so the step is what CG would take on a matrix that differs from H in the sign of this curvature.
That p'Hp is negative beyond rounding, CG knows from the product H p.

R. Dembo & T. Steihaug, *Math. Program.* 26 (1983); C. Royer, M. O'Neill & S. Wright, ibid. 180
(2020), on the use of p. The stop is `directions.forcing`'s.

Cost: a product for each step of CG, and one to check. Memory: 6 n numbers.
"""

from typing import final

from torch import Tensor

from thalweg.linalg import cg
from thalweg.linalg.products import dot
from thalweg.linalg.solution import Direction
from thalweg.minimize.contract import Proposal
from thalweg.minimize.directions.inexact_newton import InexactNewton
from thalweg.minimize.directions.quadratic_model import proposed
from thalweg.operators import Operator


def newton_cg_step(
    hessian: Operator, gradient: Tensor, *, eta: float = 1e-6, max_products: int = 250
) -> Proposal:
    """The step by CG.

    Args:
        hessian: H, any symmetric operator.
        gradient: g, not zero, shape (n,).
        eta: |H d + g| <= eta |g|.
        max_products: with H.
    """
    solution = cg(hessian, -gradient, tol=eta, max_products=max_products, allow_indefinite=True)
    bend = solution.direction
    if bend is not None and bend.negative:
        return continued(solution.x, bend, gradient)
    if not bool(solution.x.any()):  # H is flat along the gradient
        return proposed(-gradient, gradient, curvature=0.0)
    return proposed(solution.x, gradient)


def continued(d: Tensor, bend: Direction, gradient: Tensor) -> Proposal:
    """From CG's iterate d on along a unit p of negative curvature; see the module."""
    tau = -dot(gradient, bend.vector) / abs(bend.value)
    inner = -dot(gradient, d)  # d'Hd, since CG's residual is orthogonal to d
    return proposed(d + tau * bend.vector, gradient, curvature=inner - tau**2 * abs(bend.value))


@final
class NewtonCG(InexactNewton):
    """Newton's method by conjugate gradients, with the curvatures that they meet.

    Args:
        eta: |H d + g| <= eta |g| at every step; None for the forcing sequence.
        max_products: with the Hessian, in a step.

    Attributes:
        eta: of the next step.

    Raises:
        ValueError: a setting out of its domain.
        FloatingPointError: from `propose`, a product is not finite.
    """

    name = "newton-cg"

    def solve(self, hessian: Operator, gradient: Tensor) -> Proposal:
        """The step by CG."""
        return newton_cg_step(hessian, gradient, eta=self.eta, max_products=self.max_products)
