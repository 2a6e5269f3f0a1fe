r"""LSMR: min |b - A x|^2 + damping |x|^2 for any linear map A, m x n.

Golub and Kahan's bidiagonalization from b,

    beta u <- A v - alpha u,   alpha v <- A'u - beta v,

makes A an upper bidiagonal matrix between two orthonormal bases. LSMR is MINRES on the normal
equations A'A x = A'b by these two short recursions, without ever squaring A's condition number:
|A'r| falls at every step, and |r| too. Two rotations a step, (c, s) and (c_bar, s_bar), keep up the
triangles:

    rho = sqrt(alpha_bar^2 + beta^2),   c = alpha_bar / rho,   s = beta / rho
    theta = s alpha,   alpha_bar <- c alpha,   theta_bar = s_bar rho,
    rho_bar = sqrt((c_bar rho)^2 + theta^2)
    c_bar <- c_bar rho / rho_bar,   s_bar = theta / rho_bar
    zeta = c_bar zeta_bar,   zeta_bar <- -s_bar zeta_bar,   |A'r| = |zeta_bar|
    h_bar <- h - (theta_bar rho / (rho rho_bar before)) h_bar
    x <- x + zeta / (rho rho_bar) h_bar,   h <- v - (theta / rho) h

The residual is carried along by the same recursion of A h and A h_bar. Damping appends
sqrt(damping) I to A and zeros to b, so a run can start anywhere. Started at zero, x stays in the
range of A', and so tends to the solution of minimum length.

D. Fong & M. Saunders, *SIAM J. Sci. Comput.* 33 (2011).

Cost: one product with A and one with A' a step, as many before the first, and as many at the end.
Memory: 5 n + 6 m numbers, m + n for m with damping.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import final

from torch import Tensor

from thalweg.linalg.products import length
from thalweg.linalg.refinement import Run, refined
from thalweg.linalg.solution import Solution
from thalweg.linalg.stopping import Problem, Tolerance, posed, stacked
from thalweg.operators import LinearMap


def lsmr(
    linear_map: LinearMap,
    rhs: Tensor,
    *,
    x0: Tensor | None = None,
    tol: float = 1e-6,
    backward_tol: float = 0.0,
    normal_tol: float | None = None,
    max_products: int = 400,
    damping: float = 0.0,
    gap: float | None = None,
) -> Solution:
    """The x that minimizes |rhs - A x|^2 + damping |x|^2.

    Args:
        linear_map: A, m x n; an Operator is one.
        rhs: b, shape (m,).
        x0: where to start, shape (n,); None for zero.
        tol: stop where |b - A x| <= tol |b| + backward_tol |A| |x|: "converged".
        backward_tol: see there.
        normal_tol: or stop where |A'r| <= normal_tol |A| |r|, r the residual: "least squares". By
            default tol.
        max_products: budget; products with A and with A' count alike, the checks included.
        damping: as for the other solvers on A'A, to whose diagonal it is added; at least 0.
        gap: no singular value of [A; sqrt(damping) I] is below this; by default sqrt(damping). The
            bound on the error rests on it.

    Returns:
        The solution, with |r|^2 = |b - A x|^2 + damping |x|^2. If x0 is None, and there are
        several, it is that of minimum length.

    Raises:
        TypeError: not a LinearMap, or a vector of another dtype or device.
        ValueError: an argument out of its domain.
        FloatingPointError: a product is not finite.
    """
    products = stacked("lsmr", linear_map, damping)
    normal = tol if normal_tol is None else normal_tol
    tolerance = Tolerance(tol, backward_tol, normal, max_products)
    problem = posed("lsmr", products, rhs, x0, tolerance, gap)
    return refined(problem, partial(iterate, problem))


@final
@dataclass(frozen=True)
class Triangles:
    """The scalars of both triangles after a step; the names are the module's."""

    alpha_bar: float
    zeta_bar: float
    rho: float = 1.0
    rho_bar: float = 1.0
    c_bar: float = 1.0
    s_bar: float = 0.0
    theta: float = 0.0
    theta_bar: float = 0.0
    zeta: float = 0.0

    def extended(self, beta: float, alpha: float) -> "Triangles":
        """After the next column of the bidiagonal matrix."""
        rho = math.hypot(self.alpha_bar, beta)
        theta = beta / rho * alpha
        rho_bar = math.hypot(self.c_bar * rho, theta)
        c_bar, s_bar = self.c_bar * rho / rho_bar, theta / rho_bar
        return Triangles(
            alpha_bar=self.alpha_bar / rho * alpha,
            zeta_bar=-s_bar * self.zeta_bar,
            rho=rho,
            rho_bar=rho_bar,
            c_bar=c_bar,
            s_bar=s_bar,
            theta=theta,
            theta_bar=self.s_bar * rho,
            zeta=c_bar * self.zeta_bar,
        )


def iterate(problem: Problem, x: Tensor, r: Tensor) -> Run:
    """LSMR from x, whose residual is r."""
    products, lengths = problem.products, list[float]()
    if outcome := problem.stop(x, r, 0, cost=3):
        return Run(x, outcome, r, ())
    u, beta = unit(r)
    v, alpha = unit(products.backward(u))
    now = Triangles(alpha_bar=alpha, zeta_bar=alpha * beta)
    h, h_bar = v, v.new_zeros(v.shape)
    a_h, a_h_bar = None, u.new_zeros(u.shape)
    while (outcome := problem.stop(x, r, len(lengths), cost=2)) is None:
        if problem.is_least_squares(abs(now.zeta_bar), length(r)):
            return Run(x, "least squares", r, tuple(lengths))
        a_v = products.forward(v)
        a_h = a_v if a_h is None else a_v - now.theta / now.rho * a_h
        u, beta = unit(a_v - alpha * u)
        v_next, alpha = unit(products.backward(u) - beta * v)
        before, now = now, now.extended(beta, alpha)
        turn = now.theta_bar * now.rho / (before.rho * before.rho_bar)
        h_bar, a_h_bar = h - turn * h_bar, a_h - turn * a_h_bar
        step = now.zeta / (now.rho * now.rho_bar)
        x, r = x + step * h_bar, r - step * a_h_bar
        v, h = v_next, v_next - now.theta / now.rho * h
        lengths.append(length(r))
    return Run(x, outcome, r, tuple(lengths))


def unit(vector: Tensor) -> tuple[Tensor, float]:
    """The vector divided by its length, and its length; zero stays zero."""
    size = length(vector)
    return (vector / size if size else vector), size
