"""What a solver of A x = b returns: x, and what is known of it.

All solvers stop by the same rules and say how they stopped in the same words; see `Status`. The
residual that they report is that of the x that they return, from a product taken at the end. The
residual that an iteration carries along drifts away from it by rounding, and is kept as `history`.
"""

from dataclasses import dataclass
from typing import Literal, final

from torch import Tensor

Status = Literal[
    "converged",
    "least squares",
    "inconsistent",
    "negative curvature",
    "boundary",
    "stagnated",
    "out of products",
]


@final
@dataclass(frozen=True, eq=False)
class Direction:
    """A direction d and the curvature of A + damping I along it.

    Attributes:
        vector: d, of length 1, flat, shape (n,). It points along the residual, r'd > 0, so that
            x'A x / 2 - b'x falls from x on the way along d, and without end if d is `negative`.
        value: d'(A + damping I)d, in A's units.
        error: within which rounding leaves `value`.
    """

    vector: Tensor
    value: float
    error: float

    @property
    def negative(self) -> bool:
        """Whether this proves that A + damping I is not positive semidefinite."""
        return self.value + self.error < 0


@final
@dataclass(frozen=True, eq=False)
class Solution:
    """An approximate solution of (A + damping I) x = b and how well it is known.

    Below, A stands for A + damping I; for lsmr, for A with sqrt(damping) I below it and b with
    zeros below it.

    Attributes:
        x: flat, shape (n,), in the operator's dtype.
        status: how it ended.
            "converged": |b - A x| <= tol |b| + backward_tol |A| |x|.
            "least squares": b is not in A's range to rounding (minres, cr) or to the tolerance
            (lsmr), and x minimizes |b - A x|: `normal_residual` is small.
            "inconsistent": b is not in A's range to rounding, and x is no least squares solution;
            cg along `direction`, where A is zero to rounding and b is not.
            "negative curvature": `direction` proves that A is not positive semidefinite.
            "boundary": |x| has come to the radius asked for.
            "stagnated": rounding allows no smaller residual.
            "out of products": the budget is spent.
        residual: |b - A x|.
        relative_residual: |b - A x| / |b|; 0 where b = 0.
        backward_error: |b - A x| / (|A| |x| + |b|): relative to their sizes, x solves a problem
            this near exactly. |A| is the largest |A v| / |v| seen, at most the true one.
        normal_residual: |A'(b - A x)| / (|A| |b - A x|), where it was looked at: x is the least
            squares solution for a matrix this near to A, relative to |A|.
        error: |x - A^-1 b| is at most this; None where no bound on A^-1 is known.
        energy_error: cg's estimate of the error in the norm sqrt(e'A e), not a bound.
        energy_bound: the error in that norm is at most this; None where no bound is known.
        direction: where the curvature was found not to be positive.
        products: taken, the checks at the end included; lsmr's with A and with A' alike.
        history: |b - A x| after each step as the iteration knew it, the start first.
    """

    x: Tensor
    status: Status
    residual: float
    relative_residual: float
    backward_error: float
    normal_residual: float | None
    error: float | None
    energy_error: float | None
    energy_bound: float | None
    direction: Direction | None
    products: int
    history: tuple[float, ...]

    @property
    def converged(self) -> bool:
        """Whether the residual is within the tolerance asked for."""
        return self.status == "converged"
