"""Random test vectors, and products with several of them at once.

Work is in at least float32; dot products add up in float64. Random numbers come from generators of
our own, drawn on the CPU in float64, so that one seed means one answer in every precision and on
every device.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from thalweg.operators import Operator

# Vectors multiplied at once: enough for the operator's blocks, few enough for its memory.
BLOCK = 8

Draw = Callable[[Operator, int, torch.Generator], Tensor]


def gaussian(operator: Operator, count: int, generator: torch.Generator) -> Tensor:
    """Standard normal vectors, shape (n, count), in the work dtype."""
    draw = torch.randn(operator.size, count, generator=generator, dtype=torch.float64)
    return draw.to(operator.device, work_dtype(operator))


def rademacher(operator: Operator, count: int, generator: torch.Generator) -> Tensor:
    """Vectors of signs, shape (n, count), in the work dtype."""
    draw = torch.randint(0, 2, (operator.size, count), generator=generator, dtype=torch.int8)
    return (2 * draw - 1).to(operator.device, work_dtype(operator))


def blocks(count: int, size: int = BLOCK) -> Iterator[int]:
    """Sizes of blocks that `count` vectors make: `size` each, the last what is left."""
    for start in range(0, count, size):
        yield min(size, count - start)


def products(operator: Operator, vectors: Tensor) -> Tensor:
    """A V, shape (n, k), for V of shape (n, k), in V's dtype.

    Raises:
        FloatingPointError: it is not finite.
    """
    result = (operator @ vectors.to(operator.dtype)).to(vectors.dtype)
    bad = int((~torch.isfinite(result)).sum())
    if bad:
        raise FloatingPointError(
            f"{operator.name} @ V is not finite in {bad} of {result.numel()} entries: the "
            "curvature has no value here. Go back to parameters with a finite loss, or use float64."
        )
    return result


def dots(left: Tensor, right: Tensor) -> Tensor:
    """The dot products of columns, (n, k) and (n, k) to (k,), in float64 on the CPU."""
    columns = zip(left.unbind(1), right.unbind(1), strict=True)
    found = [torch.dot(x.double(), y.double()) for x, y in columns]
    return torch.stack(found).cpu() if found else torch.zeros(0, dtype=torch.float64)


def work_dtype(operator: Operator) -> torch.dtype:
    """The precision to orthogonalize in; half precision is too coarse for it."""
    return torch.promote_types(operator.dtype, torch.float32)


def check_operator(call: str, operator: object) -> None:
    """Raise TypeError unless `operator` is one."""
    if not isinstance(operator, Operator):
        raise TypeError(
            f"{call}({type(operator).__name__}): give an operator; for an explicit matrix, "
            "thalweg.curvature.Matrix(A)."
        )


def check_confidence(call: str, confidence: float) -> None:
    """Raise ValueError unless `confidence` is a share."""
    if not 0 < confidence < 1:
        raise ValueError(
            f"{call}(confidence={confidence}): give a share between 0 and 1, such as 0.95."
        )


def check_products(call: str, products: int, least: int, why: str) -> None:
    """Raise ValueError unless `products` is at least `least`."""
    if products < least:
        raise ValueError(f"{call}(products={products}): {why} takes at least {least} products.")
