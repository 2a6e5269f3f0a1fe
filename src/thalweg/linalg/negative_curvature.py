r"""Whether an operator has negative curvature, in as few products as that takes.

A vector y with y'Ay < 0 is a proof, wherever the eigenvalues lie: lambda_min <= y'Ay. The smallest
Ritz value is the smallest y'Ay in the space, so the run stops as soon as it is below zero by more
than rounding; on trained networks that takes a fraction of the products that lambda_min's value
does. That there is none, no number of products below n can prove: it is said with the probability
of `linalg.extremes`, which rests on the random start.

J. Kuczynski & H. Wozniakowski, *SIAM J. Matrix Anal. Appl.* 13 (1992), on random starts; C. Royer,
M. O'Neill & S. Wright, *Math. Program.* 180 (2020), on what a descent method makes of it.
"""

from thalweg.curvature import Operator
from thalweg.linalg.extremes import Extremes, Sign, sign
from thalweg.linalg.goal import Wanted
from thalweg.linalg.krylov import Krylov, Ritz
from thalweg.linalg.lanczos import check_operator, extremes, outer_bounds
from thalweg.linalg.restart import explored, room

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
        The ends of the spectrum as far as they were seen. `sign` is the answer; where it is
        "negative", `smallest.vector` is the direction, and `smallest.value` its curvature, which
        lambda_min may lie far below. `converged` says whether there is an answer.

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
        return known_sign(krylov, ritz) != "not proven"

    ritz = explored(krylov, SMALLEST, enough, max_products)
    return extremes(krylov, SMALLEST, ritz, converged=known_sign(krylov, ritz) != "not proven")


def known_sign(krylov: Krylov, ritz: Ritz) -> Sign:
    """What the space tells of the smallest eigenvalue's sign."""
    lower, _ = outer_bounds(krylov, ritz)
    size = float(ritz.values.abs().max())
    return sign(float(ritz.values[0]), ritz.rounding, lower, size, "psd" in krylov.operator.facts)
