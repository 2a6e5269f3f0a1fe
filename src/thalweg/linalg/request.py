"""What the solvers for a symmetric matrix are asked: one equation, its tolerances, its help."""

from __future__ import annotations

import math
from typing import TypedDict

from torch import Tensor

from thalweg.linalg.preconditioning import Precondition, Preconditioner, preconditioning
from thalweg.linalg.stopping import Problem, Tolerance, posed, shifted
from thalweg.operators import Operator


class Request(TypedDict, total=False):
    """What `cg`, `cr` and `minres` take by keyword; `requested` has the defaults."""

    x0: Tensor | None
    tol: float
    backward_tol: float
    max_products: int
    damping: float
    preconditioner: Preconditioner | None
    gap: float | None


def requested(
    solver: str,
    operator: Operator,
    rhs: Tensor,
    *,
    least_squares: bool,
    normal_tol: float | None,
    x0: Tensor | None = None,
    tol: float = 1e-6,
    backward_tol: float = 0.0,
    max_products: int = 200,
    damping: float = 0.0,
    preconditioner: Preconditioner | None = None,
    gap: float | None = None,
) -> tuple[Problem, Precondition]:
    """(A + damping I) x = rhs, checked and scaled, and r -> M r.

    Args:
        solver: its name, for messages.
        operator: A, n x n.
        rhs: b, shape (n,).
        least_squares: whether the solver tells where x is a least squares solution.
        normal_tol: of one that does: it is where |A r| <= normal_tol |A| |r|, r the residual;
            None for 8 sqrt(eps), eps that of the operator's precision.
        x0: where to start, shape (n,); None for zero.
        tol: stop where |b - A x| <= tol |b| + backward_tol |A| |x|.
        backward_tol: see there; useful where A is so ill-conditioned that |A| |x| is far above |b|.
        max_products: budget, the products that check the result included.
        damping: added to the diagonal, at least 0.
        preconditioner: M near the inverse of A (of |A|, where A is indefinite), positive definite:
            an Operator, or r -> M r.
        gap: no |eigenvalue| of A + damping I is below this; by default the damping of a positive
            semidefinite A. The bounds on the error rest on it.

    Raises:
        TypeError: not an Operator, or a vector of another dtype or device.
        ValueError: an argument out of its domain.
    """
    products = shifted(solver, operator, damping)
    normal = 8 * math.sqrt(products.eps) if normal_tol is None else normal_tol
    tolerance = Tolerance(tol, backward_tol, normal if least_squares else None, max_products)
    problem = posed(solver, products, rhs, x0, tolerance, gap)
    return problem, preconditioning(solver, preconditioner, operator)


def check_definite(solver: str, operator: Operator, allow_indefinite: bool) -> None:
    """Raise ValueError unless A is known to be positive semidefinite or need not be."""
    if not (allow_indefinite or "psd" in operator.facts):
        raise ValueError(
            f"{solver}({operator.name}): {solver} needs a positive semidefinite operator; "
            f"{operator.name} is not known to be: use minres or GaussNewton, or "
            "allow_indefinite=True to stop where negative curvature shows."
        )
