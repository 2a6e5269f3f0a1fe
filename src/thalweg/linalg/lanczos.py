r"""Lanczos: the largest and the smallest eigenvalues of an operator, from one run.

The Ritz values of a Krylov space approach both ends of the spectrum first: the largest eigenvalue
of a network's Hessian takes ten to twenty products, the smallest, which lies near many others, up
to a hundred. So the length adapts to the tolerance, and what is certain is said in the result.

C. Lanczos, *J. Res. Nat. Bur. Standards* 45 (1950); full reorthogonalization as in B. Parlett, *The
Symmetric Eigenvalue Problem* (1980), chapter 13.

Cost: `products` products and, beside them, about 8 n multiplications for each pair of basis
vectors. Memory: up to 2 max_products n numbers.
"""

import math

from torch import Tensor

from thalweg.curvature import Operator
from thalweg.linalg.extremes import Eigenpair, Extremes, overshoot
from thalweg.linalg.krylov import Krylov, Ritz


def lanczos(
    operator: Operator,
    *,
    k: int = 1,
    tol: float = 1e-3,
    max_products: int = 200,
    seed: int = 0,
) -> Extremes:
    """The k largest and the k smallest eigenvalues of `operator`.

    Args:
        operator: symmetric, n x n.
        k: eigenvalues wanted at either end, at most n of them. Where an eigenvalue is repeated,
            a run that stops at the tolerance may count it once.
        tol: stop when every wanted error is at most tol * |A|, |A| the largest eigenvalue found
            by absolute value, or as small as the rounding of the products allows.
        max_products: stop here at the latest, `converged` or not.
        seed: of the random start vector; the program's own random state is not touched.

    Raises:
        TypeError: `operator` is not an Operator.
        ValueError: k, tol or max_products out of its domain.
        FloatingPointError: a product is not finite.
    """
    check_request(operator, k, tol, max_products)
    krylov = Krylov(operator, seed=seed)
    k = min(k, operator.size)
    closed_at: Ritz | None = None
    while True:
        krylov.grow()
        last = krylov.complete or krylov.dimension >= max_products
        if not (last or krylov.closed or is_time_to_look(krylov.dimension)):
            continue
        ritz = krylov.ritz()
        if last or is_settled(krylov, ritz, k, tol, closed_at):
            return extremes(krylov, ritz, k, tol)
        if krylov.closed:
            closed_at = ritz


def is_time_to_look(dimension: int) -> bool:
    """Whether to solve for the Ritz values now: at first at every step, later at every tenth part.

    A solution takes m^3 operations; all of them together a few times those of the last.
    """
    return dimension % max(1, dimension // 10) == 0


def is_settled(krylov: Krylov, ritz: Ritz, k: int, tol: float, closed_at: Ritz | None) -> bool:
    """Whether more products would not change the answer."""
    if krylov.dimension < k:
        return False
    if krylov.closed:
        return k == 1 or (closed_at is not None and same_ends(ritz, closed_at, k))
    # After an invariant space only its complement is unknown, and the old pairs' errors are
    # blind to it: then the next closure decides.
    return (
        closed_at is None
        and is_deep_enough(krylov)
        and (is_converged(ritz, k, tol) or is_at_rounding(ritz, k, krylov))
    )


def is_deep_enough(krylov: Krylov) -> bool:
    """Whether the space is deep enough to have seen a lone eigenvalue.

    A random start holds about 1/sqrt(n) of any one eigenvector, and an outlier that carries so
    little leaves the first residuals small. It takes a number of steps logarithmic in n to grow.
    """
    return krylov.dimension >= 2 + math.log(krylov.operator.size)


def is_converged(ritz: Ritz, k: int, tol: float) -> bool:
    """Whether the k errors at each end are within `tol` of |A|."""
    return largest_error(ritz, k) <= tol * float(ritz.values.abs().max())


def is_at_rounding(ritz: Ritz, k: int, krylov: Krylov) -> bool:
    """Whether the k errors at each end are as small as the rounding of the products allows."""
    return largest_error(ritz, k) <= 2 * krylov.rounding


def largest_error(ritz: Ritz, k: int) -> float:
    """The largest among the errors of the k pairs at each end."""
    return max(float(ritz.errors[:k].max()), float(ritz.errors[-k:].max()))


def same_ends(ritz: Ritz, earlier: Ritz, k: int) -> bool:
    """Whether a further closed block left the k values at each end as they were."""
    if len(earlier.values) < k:
        return False
    drift = max(
        float((ritz.values[:k] - earlier.values[:k]).abs().max()),
        float((ritz.values[-k:] - earlier.values[-k:]).abs().max()),
    )
    return drift <= 2 * float(ritz.errors.max())


def extremes(krylov: Krylov, ritz: Ritz, k: int, tol: float) -> Extremes:
    """The result, from the Ritz pairs at both ends."""
    m = krylov.dimension
    k = min(k, m)
    lower, upper = outer_bounds(krylov, ritz)
    return Extremes(
        top=tuple(eigenpair(krylov, ritz, m - 1 - i) for i in range(k)),
        bottom=tuple(eigenpair(krylov, ritz, i) for i in range(k)),
        products=m,
        converged=is_converged(ritz, k, tol),
        upper=upper,
        lower=lower,
        rounding=krylov.rounding,
        psd="psd" in krylov.operator.facts,
    )


def outer_bounds(krylov: Krylov, ritz: Ritz) -> tuple[float, float]:
    """Below and above which no eigenvalue lies, but for a share of the start vectors."""
    low, high = float(ritz.values[0]), float(ritz.values[-1])
    if not krylov.complete:
        n = krylov.operator.size
        values, betas = krylov.first_block()
        low = min(low, float(values[0]) - overshoot(values - values[0], betas, n))
        high = max(high, float(values[-1]) + overshoot(values[-1] - values, betas, n))
    return low - krylov.rounding, high + krylov.rounding


def eigenpair(krylov: Krylov, ritz: Ritz, i: int) -> Eigenpair:
    """The i-th Ritz pair, ascending, as an eigenpair in R^n."""
    weights: Tensor = ritz.weights[:, i]
    return Eigenpair(float(ritz.values[i]), float(ritz.errors[i]), krylov.vector(weights))


def check_request(operator: object, k: int, tol: float, max_products: int) -> None:
    """Raise TypeError or ValueError on an argument of `lanczos` out of its domain."""
    if not isinstance(operator, Operator):
        raise TypeError(
            f"lanczos({type(operator).__name__}): give an operator; for an explicit matrix, "
            "thalweg.curvature.Matrix(A)."
        )
    if k < 1:
        raise ValueError(f"lanczos(k={k}): ask for at least one eigenvalue.")
    if not 0 < tol < 1:
        raise ValueError(f"lanczos(tol={tol}): give a share of |A|, between 0 and 1.")
    if max_products < k:
        raise ValueError(
            f"lanczos(max_products={max_products}, k={k}): {k} eigenvalues take at least {k} "
            "products."
        )
