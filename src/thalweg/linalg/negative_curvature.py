r"""Whether an operator has negative curvature, in as few products as that takes.

A unit vector y with y'Ay < 0 proves it, wherever the eigenvalues lie: lambda_min <= y'Ay. But the
first such vector may be curved by next to nothing. The run stops at a Ritz pair (theta, y) whose
residual is smaller than its curvature, theta + |r| < 0: then an eigenvalue below zero lies near
theta, and y is a direction worth taking. On trained networks that comes after a fraction of the
products that lambda_min's value takes. That there is none, no number of products below n can prove:
it is said with the probability of `linalg.extremes`, which rests on the random start.

J. Kuczynski & H. Wozniakowski, *SIAM J. Matrix Anal. Appl.* 13 (1992), on random starts; C. Royer,
M. O'Neill & S. Wright, *Math. Program.* 180 (2020), on what a descent method makes of it.
"""

from thalweg.linalg.extremes import Extremes, sign
from thalweg.linalg.goal import Wanted
from thalweg.linalg.krylov import Krylov, Ritz
from thalweg.linalg.lanczos import check_operator, extremes, outer_bounds
from thalweg.linalg.restart import explored, room
from thalweg.operators import Operator

SMALLEST = Wanted(top=0, bottom=1)


def negative_curvature(
    operator: Operator, *, max_products: int = 200, memory: int | None = None, seed: int = 0
) -> Extremes:
    """The sign of the smallest eigenvalue of `operator`, and a direction of negative curvature.

    Args:
        operator: symmetric, n x n.
        max_products: stop here at the latest, with the answer "not proven" if need be.
        memory: bytes that the run may hold, beside the operator's own; see `lanczos`.
        seed: of the random start vector; the program's own random state is not touched.

    Returns:
        The ends of the spectrum as far as they were seen; `sign` is the answer. Where it is
        "negative", `smallest.vector` is the direction and `smallest.value` its curvature, which
        lambda_min may lie below. `converged` says whether the run stopped because it knew enough.

    Raises:
        TypeError: `operator` is not an Operator.
        ValueError: `max_products` is not positive, or `memory` too small.
        FloatingPointError: a product is not finite.
    """
    check_operator("negative_curvature", operator)
    if max_products < 1:
        raise ValueError(
            f"negative_curvature(max_products={max_products}): it takes at least one product."
        )
    capacity = room("negative_curvature", operator, SMALLEST, memory, max_products)
    krylov = Krylov(operator, seed=seed, capacity=capacity)

    def enough(ritz: Ritz, closed_at: Ritz | None) -> bool:
        return is_decided(krylov, ritz)

    ritz = explored(krylov, SMALLEST, enough, max_products)
    return extremes(krylov, SMALLEST, ritz, converged=is_decided(krylov, ritz))


def is_decided(krylov: Krylov, ritz: Ritz) -> bool:
    """Whether an eigenvalue below zero is proved nearby, or none is likely."""
    if float(ritz.values[0]) < -ritz.rounding:
        return float(ritz.values[0] + ritz.errors[0]) < 0
    lower, _ = outer_bounds(krylov, ritz)
    size = float(ritz.values.abs().max())
    psd = "psd" in krylov.operator.facts
    return sign(float(ritz.values[0]), ritz.rounding, lower, size, psd) != "not proven"
