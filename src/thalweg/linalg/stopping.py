r"""The equation a solver is given, and the rules by which every solver stops.

With B = A + damping I (lsmr: A with sqrt(damping) I below it), residual r = b - B x:

    solved           |r| <= tol |b| + backward_tol |B| |x|
    at rounding      |r| <= eps (|B| |x| + |b|),  eps that of a product
    least squares    |B' r| <= normal_tol |B| |r|

The first two are backward errors: x solves a problem whose matrix and right-hand side differ from
these by so much, relatively (Rigal & Gaches, *J. ACM* 14, 1967). So is the third, for the least
squares problem: r is orthogonal to the range of a matrix within |B' r| / |r| of B (Stewart, in
*Mathematical Software III*, 1977). |B| is the largest |B v| / |v| seen.

The right-hand side is scaled by a power of two to a length near 1, so that no square overflows.
"""

import math
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

from thalweg.linalg.basis import norm
from thalweg.linalg.products import Products, Shifted, Stacked, length, power_of_two
from thalweg.operators import LinearMap, Operator

# Units of rounding in a residual that was computed with a product; see krylov.py.
ROUNDING_UNITS = 8


# At this many steps, and twice, four times ... as many, a run looks at its true residual.
FIRST_LOOK = 128

Outcome = Literal["done", "least squares", "flat", "negative curvature", "boundary", "spent"]


@final
@dataclass(frozen=True)
class Tolerance:
    """When to stop; see the module.

    Attributes:
        residual: tol.
        backward: backward_tol.
        normal: normal_tol; None for a solver that cannot tell.
        products: budget.
    """

    residual: float
    backward: float
    normal: float | None
    products: int


@final
@dataclass(frozen=True, eq=False)
class Problem:
    """B x = b, scaled, in working precision.

    Attributes:
        products: with B.
        rhs: b / scale.
        start: x0 / scale; None for zero.
        scale: a power of two.
        tolerance: when to stop.
        gap: no singular value of B is smaller.
    """

    products: Products
    rhs: Tensor
    start: Tensor | None
    scale: float
    tolerance: Tolerance
    gap: float

    def residual(self, x: Tensor) -> Tensor:
        """b - B x, for one product."""
        return self.rhs - self.products.forward(x)

    def is_solved(self, residual: float, x: Tensor) -> bool:
        """Whether a residual of this length is within the tolerance."""
        tol = self.tolerance
        reach = tol.backward * self.products.norm * length(x) if tol.backward else 0.0
        return residual <= tol.residual * length(self.rhs) + reach

    def is_at_rounding(self, residual: float, x: Tensor, units: float = 1) -> bool:
        """Whether a residual of this length says nothing."""
        return residual <= units * self.rounding(x)

    def rounding(self, x: Tensor) -> float:
        """Of b - B x, in one unit."""
        return self.products.eps * (self.products.norm * length(x) + length(self.rhs))

    def is_least_squares(self, normal: float, residual: float) -> bool:
        """Whether |B' r| = `normal` vanishes beside |r| = `residual`."""
        tol = self.tolerance.normal
        return tol is not None and normal <= tol * self.products.norm * residual

    def stop(self, x: Tensor, r: Tensor, steps: int, cost: int = 1) -> Outcome | None:
        """Why an iteration at x, with r as it knows it, should not take another step, if so.

        Args:
            x: the iterate.
            r: its residual as the recursion has it.
            steps: taken in this run.
            cost: of the next step, in products.
        """
        residual = length(r)
        if self.is_solved(residual, x) or self.is_at_rounding(residual, x):
            return "done"
        if self.is_spent(cost):
            return "spent"
        look = steps >= FIRST_LOOK and steps.bit_count() == 1 and not self.is_spent(cost + 1)
        return "done" if look and length(self.residual(x) - r) > residual / 2 else None

    def is_spent(self, step: int = 1) -> bool:
        """Whether a further step of so many products leaves too few for the checks at the end."""
        checks = 1 if self.tolerance.normal is None else 2
        return self.products.taken + step + checks > self.tolerance.products


def posed(
    solver: str,
    products: Products,
    rhs: Tensor,
    x0: Tensor | None,
    tolerance: Tolerance,
    gap: float | None = None,
) -> Problem:
    """The problem, checked and scaled."""
    operator = products.operator
    check_tolerance(solver, tolerance, gap)
    check_vector(solver, "rhs", rhs, operator.T)
    check_vector(solver, "x0", x0, operator)
    dtype = torch.promote_types(operator.dtype, torch.float32)
    scale = power_of_two(norm(rhs))
    return Problem(
        products=products,
        rhs=products.padded(rhs.detach().to(dtype) / scale),
        start=None if x0 is None else x0.detach().to(dtype) / scale,
        scale=scale,
        tolerance=tolerance,
        gap=products.gap if gap is None else gap,
    )


def shifted(solver: str, operator: object, damping: float) -> Shifted:
    """Products with A + damping I; raises TypeError or ValueError on what is none."""
    if not isinstance(operator, Operator):
        raise TypeError(
            f"{solver}({type(operator).__name__}): give an operator; for an explicit matrix, "
            "thalweg.curvature.Matrix(A)."
        )
    check_damping(solver, damping)
    return Shifted(operator, damping)


def stacked(solver: str, linear_map: object, damping: float) -> Stacked:
    """Products with [A; sqrt(damping) I]; raises TypeError or ValueError on what is none."""
    if not isinstance(linear_map, LinearMap):
        raise TypeError(
            f"{solver}({type(linear_map).__name__}): give a linear map or an operator; for an "
            "explicit symmetric matrix, thalweg.curvature.Matrix(A)."
        )
    check_damping(solver, damping)
    return Stacked(linear_map, damping)


def check_damping(solver: str, damping: float) -> None:
    """Raise ValueError unless 0 <= damping < infinity."""
    if not 0 <= damping < math.inf:
        raise ValueError(f"{solver}(damping={damping}): give a finite number, at least 0.")


def check_tolerance(solver: str, tolerance: Tolerance, gap: float | None) -> None:
    """Raise ValueError on a tolerance, budget or gap out of its domain."""
    if not 0 < tolerance.residual < 1:
        raise ValueError(
            f"{solver}(tol={tolerance.residual}): give a share of |rhs|, between 0 and 1."
        )
    if not 0 <= tolerance.backward < 1:
        raise ValueError(
            f"{solver}(backward_tol={tolerance.backward}): give a share of |A| |x|, from 0 to 1."
        )
    if tolerance.normal is not None and not 0 < tolerance.normal < 1:
        raise ValueError(
            f"{solver}(normal_tol={tolerance.normal}): give a share of |A| |r|, between 0 and 1."
        )
    if tolerance.products < 1:
        raise ValueError(f"{solver}(max_products={tolerance.products}): allow at least one.")
    if gap is not None and not 0 <= gap < math.inf:
        raise ValueError(
            f"{solver}(gap={gap}): give a number that no |eigenvalue| is below, at least 0."
        )


def check_vector(solver: str, name: str, vector: object, operator: LinearMap) -> None:
    """Raise unless `vector` is one that `operator` can be multiplied with; None is let through."""
    if vector is None and name == "x0":
        return
    if not isinstance(vector, Tensor):
        raise TypeError(f"{solver}({name}={type(vector).__name__}): give a torch.Tensor.")
    size = operator.shape[1]
    if vector.shape != (size,):
        raise ValueError(
            f"{solver}({name} of shape {tuple(vector.shape)}): give one flat vector of shape "
            f"({size},)."
        )
    if vector.dtype != operator.dtype or vector.device != operator.device:
        raise TypeError(
            f"{solver}({name} of {vector.dtype} on {vector.device}): the operator is "
            f"{operator.dtype} on {operator.device}; convert it with .to()."
        )
    if not bool(torch.isfinite(vector).all()):
        raise ValueError(f"{solver}({name}): an entry is not finite.")
