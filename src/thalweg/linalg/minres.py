r"""MINRES: A x = b for any symmetric A, the least residual at every step.

Lanczos' recursion from b gives A V = V T; the residual is minimized over the span of V by turning
T, column by column, into a triangle with rotations (c, s):

    q = A v_k - beta v_{k-1},   alpha = v_k'q,   q <- q - alpha v_k
    beta' = |q|,   v_{k+1} = q / beta'
    delta2 = c delta1 + s alpha,   gamma1 = s delta1 - c alpha,
    epsilon' = s beta',            delta1' = -c beta',
    gamma2 = sqrt(gamma1^2 + beta'^2),   c' = gamma1 / gamma2,   s' = beta' / gamma2
    d_k = (v_k - delta2 d_{k-1} - epsilon d_{k-2}) / gamma2
    x <- x + c' phi d_k,   r <- s'^2 r - c' s' phi v_{k+1},   phi <- s' phi

Three things come for free at each step, before it changes x: |r| = phi, |A r| = phi sqrt(gamma1^2
+ delta1'^2), which vanishes where b is not in the range of A and x is a least squares solution, and
the curvature along the residual, r'A r = -c gamma1 phi^2.

With M each v is paired with z = M v, lengths are sqrt(v'M v), and the residual minimized is that in
this norm.

C. Paige & M. Saunders, *SIAM J. Numer. Anal.* 12 (1975), in the notation of Y. Liu & F. Roosta,
*SIAM J. Optim.* 32 (2022), whose test of the curvature this is.

Cost: one product a step and one or two at the end. Memory: 11 n numbers.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Unpack, final

import torch
from torch import Tensor

from thalweg.linalg.directions import along
from thalweg.linalg.preconditioning import Precondition, inner
from thalweg.linalg.products import Products, dot, length
from thalweg.linalg.refinement import Run, refined
from thalweg.linalg.request import Request, requested
from thalweg.linalg.solution import Direction, Solution
from thalweg.linalg.stopping import ROUNDING_UNITS, Problem
from thalweg.operators import Operator

# A residual this much shorter is progress, |A r| so many times larger is none.
LESS = 0.99
RISE = 100.0


def minres(
    operator: Operator,
    rhs: Tensor,
    *,
    normal_tol: float | None = None,
    stop_at_negative_curvature: bool = False,
    **request: Unpack[Request],
) -> Solution:
    """Solve (A + damping I) x = rhs for any symmetric A.

    Args:
        operator: A, n x n.
        rhs: b, shape (n,).
        normal_tol: stop where |A r| <= normal_tol |A| |r|, r the residual: "least squares". By
            default 8 sqrt(eps), eps that of the operator's precision.
        stop_at_negative_curvature: stop as soon as the curvature along the residual is negative
            beyond rounding; it is then the `direction`, checked with a product.
        request: as `cg`; a preconditioner is near the inverse of |A|.

    Returns:
        The solution. A singular A with b in its range gives the solution of minimum length, if x0
        is None and there is no preconditioner. With b outside, x is one of the least squares
        solutions; lsmr finds the one of minimum length. With a preconditioner, b outside the range
        is "inconsistent", and x minimizes the residual in the norm sqrt(r'M r).

    Raises:
        TypeError, ValueError, FloatingPointError: as `cg`, for any symmetric A.
    """
    problem, precondition = requested(
        "minres", operator, rhs, least_squares=True, normal_tol=normal_tol, **request
    )
    run = partial(iterate, problem, precondition, stop_at_negative_curvature)
    return refined(problem, run, precondition)


@final
@dataclass(frozen=True, eq=False)
class Step:
    """One step of Lanczos' recursion.

    Attributes:
        z: M v_k.
        alpha: on the diagonal of T.
        beta: beside it.
        size: the length of T's column, at most |A| (with M, |M^{1/2} A M^{1/2}|).
        following: v_{k+1}; zero where beta is.
    """

    z: Tensor
    alpha: float
    beta: float
    size: float
    following: Tensor


@final
@dataclass(frozen=True)
class Rotation:
    """The last rotation, and what it left of T's next column above the diagonal."""

    c: float = -1.0
    s: float = 0.0
    delta1: float = 0.0
    epsilon: float = 0.0


@final
@dataclass(frozen=True)
class Column:
    """T's column k after the rotations before it; the names are the module's.

    Attributes:
        normal: |A r| / |r| for the residual before this step.
        curvature: r'A r / r'r for the same.
    """

    delta2: float
    gamma1: float
    gamma2: float
    normal: float
    curvature: float
    beta: float

    @property
    def rotation(self) -> tuple[float, float]:
        """c and s that turn gamma1 and beta into gamma2 and 0."""
        return self.gamma1 / self.gamma2, self.beta / self.gamma2


def recursion(products: Products, precondition: Precondition, r: Tensor) -> Iterator[Step]:
    """Lanczos' steps from r, one product each."""
    z = precondition(r)
    beta = math.sqrt(inner("minres", r, z, products.eps))
    v, z, v_before, beta = r / beta, z / beta, r, 0.0
    while True:
        q = products.forward(z) - beta * v_before
        alpha = dot(z, q)  # after the subtraction: Paige, J. Inst. Maths Applics 10 (1972)
        y = q - alpha * v
        m_y = precondition(y)
        ahead = math.sqrt(inner("minres", y, m_y, products.eps))
        following = y / ahead if ahead else y
        yield Step(z, alpha, ahead, math.hypot(beta, alpha, ahead), following)
        v_before, v, z, beta = v, following, m_y / ahead, ahead


def column(before: Rotation, alpha: float, beta: float) -> Column:
    """Column k, alpha on the diagonal and beta below it, after the last two rotations."""
    gamma1 = before.s * before.delta1 - before.c * alpha
    return Column(
        delta2=before.c * before.delta1 + before.s * alpha,
        gamma1=gamma1,
        gamma2=math.hypot(gamma1, beta),
        normal=math.hypot(gamma1, before.c * beta),
        curvature=-before.c * gamma1,
        beta=beta,
    )


@final
@dataclass(frozen=True, eq=False)
class Candidate:
    """The iterate of the least |A r| / |r| for about the same |r|.

    Where b is outside A's range, |A r| falls to about sqrt(eps) and rises again, with x growing
    along r: only then is it known that no smaller residual was ahead.
    """

    x: Tensor
    r: Tensor
    normal: float

    def or_later(self, x: Tensor, r: Tensor, normal: float) -> "Candidate":
        """The better of this one and a later iterate."""
        is_ahead = length(r) < LESS * length(self.r)
        return Candidate(x, r, normal) if is_ahead or normal < self.normal else self


def iterate(
    problem: Problem, precondition: Precondition, stop_at_negative: bool, x: Tensor, r: Tensor
) -> Run:
    """MINRES from x, whose residual is r."""
    products, lengths, size = problem.products, list[float](), 0.0
    steps = recursion(products, precondition, r)
    phi = math.sqrt(inner("minres", r, precondition(r), products.eps))
    d = d_before = torch.zeros_like(r)
    last, best = Rotation(), Candidate(x, r, math.inf)
    while (outcome := problem.stop(x, r, len(lengths))) is None:
        step = next(steps)
        size = max(size, step.size)
        turned = column(last, step.alpha, step.beta)
        best = best.or_later(x, r, turned.normal)
        if is_least_squares(problem, best.normal, turned.normal, size):
            return Run(best.x, "least squares", best.r, tuple(lengths))
        if stop_at_negative and turned.curvature < -ROUNDING_UNITS * products.eps * size:
            direction = measured(products, precondition(r))
            if direction.negative:
                return Run(x, "negative curvature", r, tuple(lengths), direction)
        c, s = turned.rotation
        d, d_before = (step.z - turned.delta2 * d - last.epsilon * d_before) / turned.gamma2, d
        x, r = x + c * phi * d, s * s * r - c * s * phi * step.following
        phi, last = s * phi, Rotation(c, s, -last.c * step.beta, last.s * step.beta)
        lengths.append(length(r))
    return Run(x, outcome, r, tuple(lengths))


def is_least_squares(problem: Problem, least: float, now: float, size: float) -> bool:
    """Whether |A r| / |r| vanishes beside |A|, or did before it rose again."""
    tol = (problem.tolerance.normal or 0.0) / 2 * size  # half: it will be checked
    return least <= tol and (now <= problem.products.eps**0.75 * size or now > RISE * least)


def measured(products: Products, vector: Tensor) -> Direction:
    """The curvature along a vector, by a product."""
    return along(products, vector, products.forward(vector))
