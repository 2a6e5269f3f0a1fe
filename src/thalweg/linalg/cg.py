r"""Conjugate gradients: A x = b for a positive semidefinite A.

    alpha = r'z / p'A p,   x <- x + alpha p,   r <- r - alpha A p,
    z = M r,   beta = r'z / (r'z before),   p <- z + beta p

Among all x in the Krylov space of its steps it has the least energy norm of the error, and so
minimizes x'A x / 2 - b'x there. The directions p are conjugate: p'A p is a curvature of A, for free
at every step. Where it is not positive the quadratic has no minimum along p, and p proves it.

M. Hestenes & E. Stiefel, *J. Res. Nat. Bur. Standards* 49 (1952). The radius is T. Steihaug's,
*SIAM J. Numer. Anal.* 20 (1983): |x| grows with every step, so the first step out of a ball ends
on its boundary.

Cost: one product a step and one at the end. Memory: 6 n numbers.
"""

import math
from functools import partial
from typing import Unpack

from torch import Tensor

from thalweg.linalg.directions import along, flat
from thalweg.linalg.energy import Energy
from thalweg.linalg.preconditioning import Precondition, identity, inner
from thalweg.linalg.products import dot, length
from thalweg.linalg.refinement import Run, refined
from thalweg.linalg.request import Request, check_definite, requested
from thalweg.linalg.solution import Direction, Solution
from thalweg.linalg.stopping import Outcome, Problem
from thalweg.operators import Operator


def cg(
    operator: Operator,
    rhs: Tensor,
    *,
    radius: float | None = None,
    allow_indefinite: bool = False,
    **request: Unpack[Request],
) -> Solution:
    """Solve (A + damping I) x = rhs by conjugate gradients.

    Args:
        operator: A, n x n, positive semidefinite.
        rhs: b, shape (n,).
        radius: stop on the boundary of this ball, |x| = radius. There a direction of negative
            curvature is followed to the boundary.
        allow_indefinite: take an operator that is not known to be positive semidefinite, and stop
            where that shows.
        request: `x0`, `tol` (1e-6), `backward_tol` (0), `max_products` (200), `damping` (0),
            `preconditioner` and `gap`, as `linalg.request.requested` describes them.

    Returns:
        The solution. With the status "negative curvature" or "inconsistent", x is the iterate
        before the direction was met, or the point on the boundary that it leads to.

    Raises:
        TypeError: not an Operator, or a vector of another dtype or device.
        ValueError: A is not known to be positive semidefinite, or an argument out of its domain.
        FloatingPointError: a product is not finite.
    """
    problem, precondition = requested(
        "cg", operator, rhs, least_squares=False, normal_tol=None, **request
    )
    check_definite("cg", operator, allow_indefinite)
    check_radius(radius, request.get("x0"), request.get("preconditioner"))
    ball = math.inf if radius is None else radius / problem.scale
    return refined(problem, partial(iterate, problem, precondition, ball), precondition)


def iterate(problem: Problem, precondition: Precondition, ball: float, x: Tensor, r: Tensor) -> Run:
    """Conjugate gradients from x, whose residual is r."""
    products, lengths = problem.products, list[float]()
    p = z = precondition(r)
    rz = inner("cg", r, z, products.eps)
    energy = Energy.start(problem.gap if precondition is identity else 0.0, rz)
    while (outcome := problem.stop(x, r, len(lengths))) is None:
        q = products.forward(p)
        curvature = dot(p, q)
        if curvature <= flat(products, p):
            return stopped_by(along(products, p, q), x, r, p, ball, lengths)
        alpha = rz / curvature
        if length(x + alpha * p) >= ball:
            return Run(to_boundary(x, p, ball), "boundary", r, tuple(lengths))
        x, r = x + alpha * p, r - alpha * q
        z = precondition(r)
        rz, before = inner("cg", r, z, products.eps), rz
        p = z + rz / before * p
        energy = energy.stepped(alpha, rz)
        lengths.append(length(r))
    return Run(x, outcome, r, tuple(lengths), energy=energy)


def stopped_by(
    direction: Direction, x: Tensor, r: Tensor, p: Tensor, ball: float, lengths: list[float]
) -> Run:
    """The end at p, whose curvature is not positive: on the boundary, if there is one."""
    outcome: Outcome = "negative curvature" if direction.negative else "flat"
    if ball < math.inf:
        x = to_boundary(x, p, ball)
        outcome = "negative curvature" if direction.negative else "boundary"
    return Run(x, outcome, r, tuple(lengths), direction)


def to_boundary(x: Tensor, p: Tensor, ball: float) -> Tensor:
    """x + tau p of length `ball`, tau >= 0, for |x| <= ball."""
    a, b, c = dot(p, p), dot(x, p), max(ball**2 - dot(x, x), 0.0)
    root = math.sqrt(b**2 + a * c)
    tau = c / (b + root) if b > 0 else (root - b) / a
    return x + tau * p


def check_radius(radius: float | None, x0: Tensor | None, preconditioner: object) -> None:
    """Raise ValueError unless |x| grows from 0 to the radius with every step."""
    if radius is None:
        return
    if not 0 < radius < math.inf:
        raise ValueError(f"cg(radius={radius}): give a positive length, or None.")
    if x0 is not None or preconditioner is not None:
        raise ValueError(
            f"cg(radius={radius}): with x0 or a preconditioner |x| may shrink again, and the first "
            "step out of the ball is not the last. Leave them out, or scale the problem."
        )
