r"""Patterns of zeros in a layer's matrix.

A layer's weight is seen as the matrix that it multiplies its inputs with: (out, in) for a linear
layer, (out, in / groups x kernel) for a convolution, each row the weights of one output.

n:m keeps at most n of every m neighbours of a row; 2:4 is what sparse tensor cores compute with
(Mishra et al., arXiv 2104.08378) and `torch.sparse.to_sparse_semi_structured` stores.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import final

import torch
from torch import Tensor


@final
@dataclass(frozen=True)
class Pattern:
    """Blocks of r x c weights that go together, or n of every m weights that are kept.

    Attributes:
        block: (r, c); (1, 1) for single weights.
        keep: (n, m) of an n:m pattern, else None.
    """

    block: tuple[int, int] = (1, 1)
    keep: tuple[int, int] | None = None

    @classmethod
    def of(cls, pattern: object) -> Pattern:
        """The pattern that is written as "unstructured", "2:4" or (4, 1).

        Raises:
            ValueError: it is none of these.
        """
        match pattern:
            case Pattern():
                return pattern
            case "unstructured":
                return cls()
            case str() if (found := re.fullmatch(r"(\d+):(\d+)", pattern)) and (
                0 < int(found[1]) < int(found[2])
            ):
                return cls(keep=(int(found[1]), int(found[2])))
            case (int(rows), int(columns)) if rows >= 1 and columns >= 1:
                return cls(block=(rows, columns))
        raise ValueError(
            f'pattern={pattern!r}: give "unstructured", "n:m" with n below m, such as "2:4", or '
            "the rows and columns of a block, such as (4, 1)."
        )

    def __str__(self) -> str:
        """As it may be written."""
        if self.keep:
            return "{}:{}".format(*self.keep)
        return "unstructured" if self.block == (1, 1) else "{}x{} blocks".format(*self.block)

    @property
    def sparsity(self) -> Fraction | None:
        """The share of zeros, where the pattern says it."""
        return 1 - Fraction(*self.keep) if self.keep else None

    def misfit(self, rows: int, columns: int) -> str:
        """Why a matrix of this shape cannot have the pattern; empty if it can."""
        r, c = self.block if self.keep is None else (1, self.keep[1])
        if rows % r == 0 and columns % c == 0:
            return ""
        return f"its matrix of {rows} x {columns} does not divide into pieces of {r} x {c}"

    def members(self, rows: int, columns: int) -> Tensor:
        """The units of a matrix: numbers of weights in row-major order, shape (units, r c)."""
        r, c = self.block
        numbers = torch.arange(rows * columns).reshape(rows // r, r, columns // c, c)
        return numbers.permute(0, 2, 1, 3).reshape(-1, r * c)

    def neighbours(self, rows: int, columns: int) -> Tensor:
        """The group of each weight under n:m, in row-major order, shape (rows columns,)."""
        if self.keep is None:
            raise ValueError(f"{self} has no groups of neighbours; only n:m patterns have.")
        return torch.arange(rows * columns) // self.keep[1]

    def holds(self, mask: Tensor) -> bool:
        """Whether a matrix of kept weights (True) has the pattern."""
        if self.misfit(*mask.shape):
            return False
        if self.keep is None:
            tiles = mask.reshape(-1)[self.members(*mask.shape)]
            return bool((tiles.all(1) | ~tiles.any(1)).all())
        kept, of = self.keep
        return bool((mask.reshape(-1, of).sum(1) <= kept).all())
