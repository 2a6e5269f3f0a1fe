r"""Lanczos: the largest and the smallest eigenvalues of an operator, from one run.

The Ritz values of a Krylov space approach both ends of the spectrum first: the largest eigenvalue
of a network's Hessian takes ten to twenty products, the smallest, which lies near many others, up
to a hundred. So the length adapts to the tolerance, and what is certain is said in the result.

What a single start vector cannot see: it holds one direction of the eigenspace of a repeated
eigenvalue, so that eigenvalue appears once, until the run has exhausted what the start can reach
and goes on from a fresh random vector. Values that are repeated to rounding are therefore counted
right only where a run goes to that end; a run that stops at its tolerance may count one once.

C. Lanczos, *J. Res. Nat. Bur. Standards* 45 (1950); full reorthogonalization as in B. Parlett, *The
Symmetric Eigenvalue Problem* (1980), chapter 13; restarts as in `linalg.krylov`.

Cost: `products` products and, beside them, about 8 n multiplications for each pair of basis
vectors. Memory: a basis vector for each product, and some more; or what `memory` says.
"""

from typing import get_args

from torch import Tensor

from thalweg.linalg.extremes import Eigenpair, Ends, Extremes, overshoot
from thalweg.linalg.goal import (
    Accept,
    Goal,
    RelativeTo,
    Wanted,
    is_deep_enough,
    is_reached,
    likely_errors,
    same_ends,
)
from thalweg.linalg.krylov import Krylov, Ritz
from thalweg.linalg.restart import explored, height, room
from thalweg.operators import Operator


def lanczos(
    operator: Operator,
    *,
    k: int = 1,
    ends: Ends = "both",
    tol: float = 1e-3,
    relative_to: RelativeTo = "largest",
    accept: Accept = "proved",
    max_products: int = 200,
    memory: int | None = None,
    seed: int = 0,
) -> Extremes:
    """The k largest and the k smallest eigenvalues of `operator`, or either.

    Args:
        operator: symmetric, n x n.
        k: eigenvalues wanted at an end, at most n of them. Where an eigenvalue is repeated, a run
            that stops at the tolerance may count it once.
        ends: "both", "largest" or "smallest": which must be found before the run may stop.
        tol: stop when every wanted error is at most this share of what `relative_to` says, or as
            small as the rounding of the products allows.
        relative_to: "largest": |A|, the largest eigenvalue found by absolute value; "each": the
            eigenvalue itself, for those that are much smaller than |A|.
        accept: "proved": an eigenvalue lies within its error. "likely": the run stops earlier, at
            an estimate of the error that holds for eigenvalues further apart than their residuals
            (see `linalg.goal`); the result says both.
        max_products: stop here at the latest, `converged` or not.
        memory: bytes that the run may hold, beside the operator's own; restarts keep it there. A
            run without it holds a vector for each product: 10 GB after 100 products on 25 million
            float32 parameters.
        seed: of the random start vector; the program's own random state is not touched.

    Raises:
        TypeError: `operator` is not an Operator.
        ValueError: an argument is out of its domain, or `memory` too small for k eigenvalues.
        FloatingPointError: a product is not finite.
    """
    check_request(operator, k, tol, max_products)
    check_choices(ends, relative_to, accept)
    k = min(k, operator.size)
    wanted = Wanted(top=0 if ends == "smallest" else k, bottom=0 if ends == "largest" else k)
    goal = Goal(wanted, tol, relative_to, accept)
    capacity = room("lanczos", operator, wanted, memory, max_products)
    krylov = Krylov(operator, seed=seed, capacity=capacity)

    def enough(ritz: Ritz, closed_at: Ritz | None) -> bool:
        return is_settled(krylov, goal, ritz, closed_at)

    ritz = explored(krylov, wanted, enough, max_products)
    return extremes(krylov, wanted, ritz, converged=is_reached(goal, ritz))


def is_settled(krylov: Krylov, goal: Goal, ritz: Ritz, closed_at: Ritz | None) -> bool:
    """Whether more products would not change the answer."""
    wanted = goal.wanted
    if krylov.closed and wanted.fit(krylov.dimension):
        alone = max(wanted.top, wanted.bottom) == 1
        return alone or (closed_at is not None and same_ends(wanted, ritz, closed_at))
    # After an invariant space only its complement is unknown, and the old pairs' errors are
    # blind to it: then the next closure decides.
    unclosed = closed_at is None and not krylov.closed
    return unclosed and is_deep_enough(krylov) and is_reached(goal, ritz, floor=2 * ritz.rounding)


def extremes(krylov: Krylov, wanted: Wanted, ritz: Ritz, *, converged: bool) -> Extremes:
    """The result, from the Ritz pairs at both ends."""
    m = krylov.dimension
    lower, upper = outer_bounds(krylov, ritz)
    likely = likely_errors(ritz)
    top, bottom = (min(max(count, 1), m) for count in (wanted.top, wanted.bottom))
    return Extremes(
        top=tuple(eigenpair(krylov, ritz, likely, m - 1 - i) for i in range(top)),
        bottom=tuple(eigenpair(krylov, ritz, likely, i) for i in range(bottom)),
        products=krylov.products,
        converged=converged,
        upper=upper,
        lower=lower,
        rounding=krylov.rounding,
        psd="psd" in krylov.operator.facts,
        held=krylov.held,
        restarts=krylov.compressions,
        memory=height(krylov, wanted.results),
    )


def outer_bounds(krylov: Krylov, ritz: Ritz) -> tuple[float, float]:
    """Below and above which no eigenvalue lies, but for a share of the start vectors."""
    low, high = float(ritz.values[0]), float(ritz.values[-1])
    if not krylov.complete:
        n = krylov.operator.size
        zeros, betas = krylov.first_block()
        low = min(low, float(zeros[0]) - overshoot(zeros - zeros[0], betas, n))
        high = max(high, float(zeros[-1]) + overshoot(zeros[-1] - zeros, betas, n))
    return low - krylov.rounding, high + krylov.rounding


def eigenpair(krylov: Krylov, ritz: Ritz, likely: Tensor, i: int) -> Eigenpair:
    """The i-th Ritz pair, ascending, as an eigenpair in R^n."""
    return Eigenpair(
        value=float(ritz.values[i]),
        error=float(ritz.errors[i]),
        vector=krylov.vector(ritz.weights[:, i]),
        likely_error=float(likely[i]),
    )


def check_request(operator: object, k: int, tol: float, max_products: int) -> None:
    """Raise TypeError or ValueError on an argument of `lanczos` out of its domain."""
    check_operator("lanczos", operator)
    if k < 1:
        raise ValueError(f"lanczos(k={k}): ask for at least one eigenvalue.")
    if not 0 < tol < 1:
        raise ValueError(f"lanczos(tol={tol}): give a share of |A|, between 0 and 1.")
    if max_products < k:
        raise ValueError(
            f"lanczos(max_products={max_products}, k={k}): {k} eigenvalues take at least {k} "
            "products."
        )


def check_operator(caller: str, operator: object) -> None:
    """Raise TypeError unless `operator` is an Operator."""
    if not isinstance(operator, Operator):
        raise TypeError(
            f"{caller}({type(operator).__name__}): give an operator; for an explicit matrix, "
            "thalweg.curvature.Matrix(A)."
        )


def check_choices(ends: str, relative_to: str, accept: str) -> None:
    """Raise ValueError on a word that `lanczos` does not know."""
    given = {"ends": (ends, Ends), "relative_to": (relative_to, RelativeTo)}
    for name, (word, known) in {**given, "accept": (accept, Accept)}.items():
        if word not in get_args(known):
            raise ValueError(
                f"lanczos({name}={word!r}): choose one of {', '.join(get_args(known))}."
            )
