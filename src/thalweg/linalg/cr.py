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
from typing import Unpack

import torch
from torch import Tensor

from thalweg.linalg.directions import along, flat
from thalweg.linalg.preconditioning import Precondition, inner
from thalweg.linalg.products import dot, length
from thalweg.linalg.refinement import Run, refined
from thalweg.linalg.request import Request, check_definite, requested
from thalweg.linalg.solution import Solution
from thalweg.linalg.stopping import Problem
from thalweg.operators import Operator


def cr(
    operator: Operator,
    rhs: Tensor,
    *,
    normal_tol: float | None = None,
    allow_indefinite: bool = False,
    **request: Unpack[Request],
) -> Solution:
    """Solve (A + damping I) x = rhs by conjugate residuals.

    Args:
        operator, rhs, allow_indefinite, request: as `cg`.
        normal_tol: as `minres`.

    Returns:
        The solution, for a singular A too, as `minres` describes it.

    Raises:
        TypeError, ValueError, FloatingPointError: as `cg`.
    """
    problem, precondition = requested(
        "cr", operator, rhs, least_squares=True, normal_tol=normal_tol, **request
    )
    check_definite("cr", operator, allow_indefinite)
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
