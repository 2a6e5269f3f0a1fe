r"""Conjugate residuals: A x = b for a positive semidefinite A, the least residual at every step.

    alpha = z'A z / (A p)'M A p,   x <- x + alpha p,   r <- r - alpha A p,   z = M r,
    beta = z'A z / (z'A z before),   p <- z + beta p,   A p <- A z + beta A p

Where A is definite the iterates are those of MINRES, by a shorter recursion: the residual falls at
every step, and so does the error. z'A z is a curvature of A along the residual; where it is not
positive the recursion ends, and z proves it. Where b is outside the range of a singular A, the
residual goes to its part there, along which A is zero: where r'A r is below rounding, at most
eps |A| |r|^2, |A r| is at most sqrt(eps) |A| |r|, and x is a least squares solution.

E. Stiefel, *Comment. Math. Helv.* 29 (1955). The curvature as a test: M.-A. Dahito & D. Orban,
*SIAM J. Optim.* 29 (2019).

Cost: one product a step, and one or two at the end. Memory: 8 n numbers.
"""

import math
from functools import partial

import torch
from torch import Tensor

from thalweg.linalg.cg import check_definite
from thalweg.linalg.directions import along, flat
from thalweg.linalg.preconditioning import Precondition, Preconditioner, inner, preconditioning
from thalweg.linalg.products import dot, length
from thalweg.linalg.refinement import Run, refined
from thalweg.linalg.solution import Solution
from thalweg.linalg.stopping import Problem, Tolerance, posed, shifted
from thalweg.operators import Operator


def cr(
    operator: Operator,
    rhs: Tensor,
    *,
    x0: Tensor | None = None,
    tol: float = 1e-6,
    backward_tol: float = 0.0,
    normal_tol: float | None = None,
    max_products: int = 200,
    damping: float = 0.0,
    preconditioner: Preconditioner | None = None,
    gap: float | None = None,
    allow_indefinite: bool = False,
) -> Solution:
    """Solve (A + damping I) x = rhs by conjugate residuals.

    Args:
        operator: A, n x n, positive semidefinite.
        rhs: b, shape (n,).
        x0: where to start, shape (n,); None for zero.
        tol: stop where |b - A x| <= tol |b| + backward_tol |A| |x|.
        backward_tol: see there.
        normal_tol: stop where |A r| <= normal_tol |A| |r|, r the residual: "least squares". By
            default 8 sqrt(eps), eps that of the operator's precision.
        max_products: budget, the products that check the result included.
        damping: added to the diagonal, at least 0.
        preconditioner: M near the inverse, positive definite: an Operator, or r -> M r.
        gap: no eigenvalue of A + damping I is below this; by default the damping of a positive
            semidefinite A. The bound on the error rests on it.
        allow_indefinite: take an operator that is not known to be positive semidefinite, and stop
            where that shows.

    Returns:
        The solution. A singular A with b in its range gives the solution of minimum length, if x0
        is None and there is no preconditioner. With b outside, x is one of the least squares
        solutions; lsmr finds the one of minimum length. With a preconditioner, b outside the range
        is "inconsistent", and x minimizes the residual in the norm sqrt(r'M r).

    Raises:
        TypeError: not an Operator, or a vector of another dtype or device.
        ValueError: A is not known to be positive semidefinite, or an argument out of its domain.
        FloatingPointError: a product is not finite.
    """
    products = shifted("cr", operator, damping)
    check_definite("cr", operator, allow_indefinite)
    normal = 8 * math.sqrt(products.eps) if normal_tol is None else normal_tol
    tolerance = Tolerance(tol, backward_tol, normal, max_products)
    problem = posed("cr", products, rhs, x0, tolerance, gap)
    precondition = preconditioning("cr", preconditioner, operator)
    return refined(problem, partial(iterate, problem, precondition), precondition)


def iterate(problem: Problem, precondition: Precondition, x: Tensor, r: Tensor) -> Run:
    """Conjugate residuals from x, whose residual is r."""
    products, lengths = problem.products, list[float]()
    z, before = precondition(r), math.inf
    inner("cr", r, z, products.eps)
    p = q = torch.zeros_like(r)
    while (outcome := problem.stop(x, r, len(lengths))) is None:
        w = products.forward(z)
        curvature = dot(z, w)
        if curvature <= flat(products, z):
            return stopped_by(problem, x, r, z, w, lengths)
        beta = curvature / before
        p, q = z + beta * p, w + beta * q
        s = precondition(q)
        alpha = curvature / inner("cr", q, s, products.eps)
        x, r, z, before = x + alpha * p, r - alpha * q, z - alpha * s, curvature
        lengths.append(length(r))
    return Run(x, outcome, r, tuple(lengths))


def stopped_by(
    problem: Problem,
    x: Tensor,
    r: Tensor,
    z: Tensor,
    w: Tensor,
    lengths: list[float],
) -> Run:
    """The end at z, whose curvature is not positive; w = A z."""
    direction = along(problem.products, z, w)
    if direction.negative:
        return Run(x, "negative curvature", r, tuple(lengths), direction)
    if problem.is_least_squares(length(w), length(z)):
        return Run(x, "least squares", r, tuple(lengths))
    return Run(x, "flat", r, tuple(lengths), direction)
