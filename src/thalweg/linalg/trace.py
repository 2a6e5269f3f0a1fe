"""The trace of an operator, from few products, with an interval that covers.

| method | products go to | good for |
|---|---|---|
| exact | n products, or the operator's own diagonal | n up to the products allowed |
| krylov | half a Krylov space, which is deflated, half test vectors | any spectrum: the default |
| hutch++ | a third each to a sketch, its products, test vectors | some repeated outliers |
| xtrace | a sketch, and the products with it; each column is a test vector too | fast decay |
| xnystrace | a sketch alone, for positive semidefinite operators | fast decay |
| hutchinson | test vectors | flat spectra; huge n: it holds a few vectors only |

All are unbiased. Sources are named where each is written.
"""

from collections.abc import Callable
from typing import Literal, get_args

import torch

from thalweg.linalg.deflation import Deflation, krylov_space, range_sketch, sampled, weight_of
from thalweg.linalg.estimate import Estimate, Sampling, error_of_mean, interval, unit_rounding
from thalweg.linalg.hutchinson import hutchinson_trace
from thalweg.linalg.identity import diagonal_by_products
from thalweg.linalg.probing import check_confidence, check_operator, check_products
from thalweg.linalg.restart import vector_bytes
from thalweg.linalg.xnystrace import xnystrace
from thalweg.linalg.xtrace import xtrace
from thalweg.operators import Operator

# Vectors beside the basis of "krylov" while a block of products is taken and recorded; where test
# vectors are kept the blocks are twice as wide.
BESIDE = 25

Method = Literal["auto", "exact", "krylov", "hutch++", "xtrace", "xnystrace", "hutchinson"]


def trace(
    operator: Operator,
    *,
    products: int = 99,
    method: Method = "auto",
    confidence: float = 0.95,
    memory: int | None = None,
    seed: int = 0,
) -> Estimate:
    """The trace of `operator`, with an interval.

    Args:
        operator: symmetric, n x n.
        products: to take at most; "exact" takes n, or none where the operator knows its diagonal.
        method: see the module; "auto" is "exact" where the products suffice for it, else "krylov".
        confidence: share of the seeds for which the interval is to hold the trace.
        memory: bytes that "krylov" may hold, beside the operator's own; with less it deflates fewer
            directions. None for no limit.
        seed: of the random vectors; the program's own random state is not touched.

    Raises:
        TypeError: `operator` is not an Operator.
        ValueError: an unknown method, one that needs the fact ``psd`` of an operator without it,
            too few products, a confidence that is no share, or too little memory, or one for
            another method than "krylov".
        FloatingPointError: a product is not finite.

    Memory: one vector of n numbers for each product, or what `memory` says; "hutchinson" and
    "exact" hold a few only.
    """
    check_operator("trace", operator)
    check_confidence("trace", confidence)
    if method not in get_args(Method):
        known = ", ".join(get_args(Method))
        raise ValueError(f"trace(method={method!r}): choose one of {known}.")
    check_products("trace", products, 1, "an estimate")
    known_diagonal = operator.exact_diagonal() if method in ("auto", "exact") else None
    if known_diagonal is not None:
        return exact(known_diagonal.double(), 0, operator, confidence)
    if method == "exact" or (operator.size <= products and method == "auto"):
        return exact(diagonal_by_products(operator), operator.size, operator, confidence)
    if method in ("auto", "krylov"):
        return krylov_trace(operator, products, confidence, seed, memory)
    if memory is not None:
        raise ValueError(
            f"trace(method={method!r}, memory={memory}): only 'krylov' keeps to a memory; take it, "
            "or 'hutchinson' without one, which holds a few vectors in any case."
        )
    return ESTIMATORS[method](operator, products, confidence, seed)


def exact(diagonal: torch.Tensor, products: int, operator: Operator, confidence: float) -> Estimate:
    """The sum of the diagonal, known but for rounding."""
    rounding = unit_rounding(operator.dtype) * float(diagonal.abs().sum())
    return interval(
        float(diagonal.sum()), 0.0, Sampling(confidence, products, "exact", 1, rounding)
    )


def krylov_trace(
    operator: Operator, products: int, confidence: float, seed: int, memory: int | None = None
) -> Estimate:
    """Half the products to a Krylov space, half to test vectors beside it; see `deflation`.

    With room for fewer vectors, the space has at most as many, and the others are tested.
    """
    check_products("trace", products, 2, "method='krylov'")
    most = min(products, operator.size)
    room = most + BESIDE if memory is None else basis_room(operator, memory)
    keep = room >= most + BESIDE
    deflated = min(most // 2, room)
    generator = torch.Generator().manual_seed(seed)
    space = krylov_space(operator, deflated, most if keep else deflated, generator)
    return deflated_trace(operator, space, most, "krylov", confidence, generator, keep=keep)


def basis_room(operator: Operator, memory: int) -> int:
    """Vectors that a basis may hold in `memory` bytes, beside those of a block of products.

    Raises:
        ValueError: it has no room for one.
    """
    one = vector_bytes(operator)
    if memory < (1 + BESIDE) * one:
        raise ValueError(
            f"trace(memory={memory}): method='krylov' of {operator.name}, {operator.size} x "
            f"{operator.size}, takes at least {(1 + BESIDE) * one} bytes, which are {1 + BESIDE} "
            "vectors. Give more, or take method='hutchinson'."
        )
    return memory // one - BESIDE


def hutch_plus_plus(operator: Operator, products: int, confidence: float, seed: int) -> Estimate:
    """A third of the products each to a sketch, to A on its range, and to test vectors beside it.

    The test vectors are those of `deflation`, orthogonal to each other, where the paper's are
    independent normal ones.
    """
    check_products("trace", products, 3, "method='hutch++'")
    third = min(products // 3, operator.size)
    generator = torch.Generator().manual_seed(seed)
    space = range_sketch(operator, third, min(products, operator.size), generator)
    return deflated_trace(operator, space, products, "hutch++", confidence, generator)


def deflated_trace(
    operator: Operator,
    space: Deflation,
    products: int,
    method: str,
    confidence: float,
    generator: torch.Generator,
    *,
    keep: bool = True,
) -> Estimate:
    """tr A on the space, and tr B from test vectors beside it with what is left of `products`."""
    known = float(space.projected.trace())
    beyond = operator.size - len(space.projected)
    count = min(products - space.products, beyond)
    samples = sampled(operator, space, count, generator, keep=keep)
    how = Sampling(
        confidence,
        space.products + count,
        method,
        freedom=count - 1,
        rounding=unit_rounding(operator.dtype) * weight_of(space, samples),
    )
    if not count:
        return interval(known, 0.0, how)
    error = error_of_mean(samples.forms, samples.variance, samples.share)
    return interval(known + float(samples.forms.mean()), error, how)


ESTIMATORS: dict[str, Callable[[Operator, int, float, int], Estimate]] = {
    "hutch++": hutch_plus_plus,
    "xtrace": xtrace,
    "xnystrace": xnystrace,
    "hutchinson": hutchinson_trace,
}
