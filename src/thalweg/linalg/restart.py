"""A Krylov space grown until enough is known, in as much memory as it may take.

A space that is full keeps the Ritz vectors nearest to the wanted ends and grows again from there.
Nothing that is said of the result is weaker for it: the residuals are those of the kept pairs, the
part of the operator that T leaves out is counted on, and the polynomial that bounds what lies
beyond the ends keeps the values let go among its zeros. What a restart costs is products.
"""

from collections.abc import Callable

import torch

from thalweg.linalg.goal import Wanted
from thalweg.linalg.krylov import Krylov, Ritz
from thalweg.operators import Operator

# Vectors beside the basis at the height of a step: the next one, the product, what is left of it,
# and passing copies of these.
WORKING_VECTORS = 6

# A space that may hold fewer than this more than the wanted vectors would hardly move.
LEAST_ROOM = 4

Enough = Callable[[Ritz, Ritz | None], bool]


def explored(krylov: Krylov, wanted: Wanted, enough: Enough, max_products: int) -> Ritz:
    """Grow `krylov` until enough(its Ritz pairs, those of its last closure if any), or no longer.

    It also ends when `max_products` are taken or the space is complete.
    """
    closed_at: Ritz | None = None
    while True:
        krylov.grow()
        last = krylov.complete or krylov.products >= max_products
        if not (last or krylov.full or krylov.closed or is_time_to_look(krylov.dimension)):
            continue
        ritz = krylov.ritz()
        if last or enough(ritz, closed_at):
            return ritz
        if krylov.closed:
            closed_at = ritz
        if krylov.full:
            krylov.compress(ritz, kept(krylov.dimension, wanted))


def is_time_to_look(dimension: int) -> bool:
    """Whether to solve for the Ritz values now: at first at every step, later at fewer.

    A solution takes m^3 operations; all of them together some ten times those of the last.
    """
    return dimension % max(1, dimension // 32) == 0


def kept(dimension: int, wanted: Wanted) -> list[int]:
    """Which of `dimension` Ritz values, ascending, to keep: the wanted ones and more beside them.

    The vectors next to the wanted ones carry what is known of these ends; a third of the room
    that the wanted leave goes to them, in the proportion wanted. One stays at an end not asked for.
    """
    pairs = wanted.top + wanted.bottom
    count = min(pairs + max(1, (dimension - pairs) // 3), dimension - 1)
    top = min(max(1, round(count * wanted.top / pairs)), count - 1)
    bottom = count - top
    return [*range(bottom), *range(dimension - top, dimension)]


def room(
    caller: str, operator: Operator, wanted: Wanted, memory: int | None, max_products: int
) -> int:
    """Vectors that a basis may hold for `wanted` in `memory` bytes; None: one a product.

    Raises:
        ValueError: `memory` is too little for it.
    """
    if memory is None:
        return max_products
    pairs, one = wanted.top + wanted.bottom, vector_bytes(operator)
    beside = vectors_beside(wanted.results)
    least = min(pairs + LEAST_ROOM, operator.size) + beside
    if memory < least * one:
        raise ValueError(
            f"{caller}(memory={memory}): {pairs} eigenpairs of {operator.name}, {operator.size} x "
            f"{operator.size}, take at least {least * one} bytes, which are {least} vectors. Give "
            "more, or ask for fewer eigenpairs."
        )
    return min(memory // one - beside, max_products)


def height(krylov: Krylov, results: int) -> int:
    """Bytes of the vectors that a run held at a time, at most, with `results` in the end."""
    return (krylov.allocated + vectors_beside(results)) * vector_bytes(krylov.operator)


def vectors_beside(results: int) -> int:
    """Vectors beside the basis: those of a step, or the results and those of making them."""
    return max(WORKING_VECTORS, results + 3)


def vector_bytes(operator: Operator) -> int:
    """Of one basis vector: half precision is widened."""
    return operator.size * torch.promote_types(operator.dtype, torch.float32).itemsize
