"""Inner products of long vectors, at the memory's speed and with their digits kept.

Entries are multiplied and added in their own precision some ten thousand at a time, and those sums
in float64. Added one to the other in float32, 25 million squares lose their third digit; converted
to float64 first, they take ten times as long.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

ADDED_AT_ONCE = 1 << 16
# Of two blocks of rows; so many entries of a dozen rows stay in a processor's cache.
ADDED_OF_ROWS = 1 << 14


def dot(left: Tensor, right: Tensor) -> float:
    """left'right."""
    if len(left) <= ADDED_AT_ONCE:
        return float(torch.dot(left, right))
    parts = zip(torch.split(left, ADDED_AT_ONCE), torch.split(right, ADDED_AT_ONCE), strict=True)
    return float(torch.stack([torch.dot(x, y) for x, y in parts]).double().sum())


def length(vector: Tensor) -> float:
    """|v|."""
    return math.sqrt(dot(vector, vector))


def dots(left: Tensor, right: Tensor) -> Tensor:
    """Of each row of `left` with each of `right`, (k, n) and (l, n): float64, (k, l), on the CPU.

    One pass over both.
    """
    whole = left.shape[1] - left.shape[1] % ADDED_OF_ROWS
    with every_digit():
        sums = (right[:, whole:] @ left[:, whole:].T).double()
        if whole:
            parts = torch.bmm(pieces(right[:, :whole]), pieces(left[:, :whole]).transpose(1, 2))
            sums += parts.double().sum(0)
    return sums.T.cpu()


def pieces(rows: Tensor) -> Tensor:
    """A block of rows cut across: (k, p q) to (p, k, q) for the q that are added up at once."""
    return rows.view(len(rows), -1, ADDED_OF_ROWS).transpose(0, 1)


@contextmanager
def every_digit() -> Iterator[None]:
    """Products of matrices in full float32, whatever faster ones the program allows itself."""
    mkldnn = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    backends = torch.backends.cuda.matmul, mkldnn
    before = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision
