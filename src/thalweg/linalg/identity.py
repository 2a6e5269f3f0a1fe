"""A matrix taken apart by its products with unit vectors, a block at a time."""

from collections.abc import Iterator

import torch
from torch import Tensor

from thalweg.linalg.probing import BLOCK, blocks, products
from thalweg.operators import Operator


def diagonal_by_products(operator: Operator) -> Tensor:
    """The diagonal, shape (n,), in float64; costs n products, and memory for a block of vectors."""
    parts = [columns.diagonal(-start) for start, columns in columns_of(operator)]
    return torch.cat(parts).double()


def columns_of(operator: Operator) -> Iterator[tuple[int, Tensor]]:
    """Blocks of columns, shape (n, k) each, with the number of the first; n products in all."""
    start = 0
    for size in blocks(operator.size, BLOCK):
        units = torch.zeros(operator.size, size, dtype=operator.dtype, device=operator.device)
        units[range(start, start + size), range(size)] = 1
        yield start, products(operator, units)
        start += size
