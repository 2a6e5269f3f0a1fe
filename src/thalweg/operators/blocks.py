r"""The blocks of a block-diagonal matrix over parameters: factored, full, or diagonal.

    B = Q diag(s) Q'

Each block knows an orthonormal basis Q (cheap to apply) and its eigenvalues s there, from which
follow products, traces, determinants, and inverses that exist for every positive damping: there is
no Cholesky factorization that could fail. The eigendecompositions are computed in float64, when
first needed, and eigenvalues that rounding made negative are zero.

The vector of a block comes as the parameters' own tensors, k vectors at a time: (k, *shape).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import ClassVar, final

import torch
from torch import Tensor

from thalweg.operators.symmetric_eigen import symmetric_eigen


@dataclass(frozen=True)
class Block(ABC):
    """One block.

    Attributes:
        names: the parameters it spans, in order.
        shapes: theirs.
        summed: which of its tensors are sums over samples, so that blocks can be averaged.
    """

    summed: ClassVar[tuple[str, ...]]

    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]

    @property
    @abstractmethod
    def form(self) -> str:
        """How it is kept: "Kronecker", "full" or "diagonal"."""

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """Precision of what is kept."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where it is kept."""

    @property
    @abstractmethod
    def eigenvalues(self) -> Tensor:
        """s, in the shape of a rotated vector without k."""

    @abstractmethod
    def rotated(self, x: Tensor) -> Tensor:
        """Q' x for joined vectors."""

    @abstractmethod
    def unrotated(self, x: Tensor) -> Tensor:
        """Q x for rotated vectors."""

    @abstractmethod
    def plus(self, diagonal: Tensor) -> Block:
        """B + diag(diagonal), a joined vector without k.

        A block on a weight with two factors takes a multiple of the identity, the mean entry.
        """

    @abstractmethod
    def spread(self, values: Tensor) -> Tensor:
        """The diagonal of Q diag(values) Q', as a joined vector without k."""

    def joined(self, parts: Sequence[Tensor]) -> Tensor:
        """The parameters' tensors (k, *shape) as one, (k, n)."""
        return torch.cat([part.reshape(len(part), -1) for part in parts], 1)

    def parted(self, x: Tensor) -> list[Tensor]:
        """The parameters' tensors (k, *shape) of a joined one."""
        pieces = torch.split(x, [shape.numel() for shape in self.shapes], 1)
        return [
            piece.reshape(len(x), *shape) for piece, shape in zip(pieces, self.shapes, strict=True)
        ]

    def product(self, x: Tensor) -> Tensor:
        """B x for joined vectors."""
        return self.scaled(self.eigenvalues, x)

    def scaled(self, values: Tensor, x: Tensor) -> Tensor:
        """Q diag(values) Q' x for joined vectors."""
        return self.unrotated(values * self.rotated(x))

    def diagonal(self) -> Tensor:
        """B's diagonal, as a joined vector without k."""
        return self.spread(self.eigenvalues)

    def trace(self) -> Tensor:
        """B's trace, 0-d."""
        return self.eigenvalues.sum()

    def damped(self, damping: float, split: bool) -> Tensor:
        """The eigenvalues of B + damping I; `split` changes only what has two factors."""
        return self.eigenvalues + damping


@final
@dataclass(frozen=True)
class DiagonalBlock(Block):
    """diag(entries), entries of shape (n,)."""

    summed: ClassVar[tuple[str, ...]] = ("entries",)

    entries: Tensor

    @property
    def form(self) -> str:
        """How it is kept."""
        return "diagonal"

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the entries."""
        return self.entries.dtype

    @property
    def device(self) -> torch.device:
        """Where the entries lie."""
        return self.entries.device

    @property
    def eigenvalues(self) -> Tensor:
        """The entries."""
        return self.entries

    def plus(self, diagonal: Tensor) -> DiagonalBlock:
        """Entry by entry."""
        return replace(self, entries=self.entries + diagonal)

    def rotated(self, x: Tensor) -> Tensor:
        """x."""
        return x

    def unrotated(self, x: Tensor) -> Tensor:
        """x."""
        return x

    def spread(self, values: Tensor) -> Tensor:
        """The values."""
        return values


@final
@dataclass(frozen=True)
class FullBlock(Block):
    """A symmetric positive semidefinite matrix, shape (n, n)."""

    summed: ClassVar[tuple[str, ...]] = ("matrix",)

    matrix: Tensor

    @property
    def form(self) -> str:
        """How it is kept."""
        return "full"

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the matrix."""
        return self.matrix.dtype

    @property
    def device(self) -> torch.device:
        """Where the matrix lies."""
        return self.matrix.device

    @cached_property
    def _eigen(self) -> tuple[Tensor, Tensor]:
        return eigen(self.matrix)

    @property
    def eigenvalues(self) -> Tensor:
        """The matrix's, (n,), from the smallest."""
        return self._eigen[0]

    def plus(self, diagonal: Tensor) -> FullBlock:
        """On the matrix's diagonal."""
        return replace(self, matrix=self.matrix + diagonal.diag())

    def rotated(self, x: Tensor) -> Tensor:
        """Q' x."""
        return x @ self._eigen[1]

    def unrotated(self, x: Tensor) -> Tensor:
        """Q x."""
        return x @ self._eigen[1].mT

    def spread(self, values: Tensor) -> Tensor:
        """The diagonal of Q diag(values) Q'."""
        return self._eigen[1].square() @ values

    def product(self, x: Tensor) -> Tensor:
        """The matrix's product."""
        return x @ self.matrix

    def diagonal(self) -> Tensor:
        """The matrix's diagonal."""
        return self.matrix.diagonal()

    def trace(self) -> Tensor:
        """The matrix's trace."""
        return self.matrix.trace()


@dataclass(frozen=True)
class WeightBlock(Block):
    r"""On a weight W seen as (groups, p, q), in a basis of the form  W -> Q_left' W Q_right.

    Attributes:
        left: (groups, p, p), or (groups, p) if it is diagonal.
        right: (groups, q, q). Where the block spans a bias, the last row and column are its.
    """

    summed: ClassVar[tuple[str, ...]] = ("left", "right")

    left: Tensor
    right: Tensor

    @property
    @abstractmethod
    def basis(self) -> tuple[Tensor | None, Tensor]:
        """Q_left, None for the identity, and Q_right."""

    @property
    def form(self) -> str:
        """How it is kept."""
        return "Kronecker"

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the factors."""
        return self.right.dtype

    @property
    def device(self) -> torch.device:
        """Where the factors lie."""
        return self.right.device

    def joined(self, parts: Sequence[Tensor]) -> Tensor:
        """Weight and bias as one, (k, groups, p, q)."""
        groups, p = self.left.shape[:2]
        return torch.cat([part.reshape(len(part), groups, p, -1) for part in parts], -1)

    def parted(self, x: Tensor) -> list[Tensor]:
        """Weight, and bias if there is one."""
        ends = [1] * (len(self.names) - 1)
        pieces = torch.split(x, [x.shape[-1] - len(ends), *ends], -1)
        return [
            piece.reshape(len(x), *shape) for piece, shape in zip(pieces, self.shapes, strict=True)
        ]

    def rotated(self, x: Tensor) -> Tensor:
        """Q_left' X Q_right."""
        left, right = self.basis
        return (x if left is None else left.mT @ x) @ right

    def unrotated(self, x: Tensor) -> Tensor:
        """Q_left X Q_right'."""
        left, right = self.basis
        return (x if left is None else left @ x) @ right.mT

    def spread(self, values: Tensor) -> Tensor:
        """The diagonal of Q diag(values) Q'."""
        left, right = self.basis
        values = values if left is None else left.square() @ values
        return values @ right.square().mT


@final
@dataclass(frozen=True)
class KroneckerBlock(WeightBlock):
    r"""left (x) right + c I on a weight W seen as (groups, p, q):  W -> left W right + c W.

    Attributes:
        shift: c, 0-d, on the CPU.
    """

    summed: ClassVar[tuple[str, ...]] = ("left", "right", "shift")

    shift: Tensor = field(default_factory=partial(torch.zeros, (), dtype=torch.float64))

    def plus(self, diagonal: Tensor) -> KroneckerBlock:
        """The multiple of the identity that the diagonal is."""
        return replace(self, shift=self.shift + diagonal.mean().double().cpu())

    @cached_property
    def _left(self) -> tuple[Tensor, Tensor | None]:
        return eigen(self.left) if self.left.dim() == 3 else (self.left, None)

    @cached_property
    def _right(self) -> tuple[Tensor, Tensor]:
        return eigen(self.right)

    @property
    def basis(self) -> tuple[Tensor | None, Tensor]:
        """The factors' eigenvectors; None for the identity."""
        return self._left[1], self._right[1]

    @property
    def eigenvalues(self) -> Tensor:
        """All products of the factors', and c, (groups, p, q)."""
        return self._left[0].unsqueeze(-1) * self._right[0].unsqueeze(-2) + self.shift

    def product(self, x: Tensor) -> Tensor:
        """left X right + c X, which needs no eigenvectors."""
        half = self.left @ x if self.left.dim() == 3 else self.left.unsqueeze(-1) * x
        return half @ self.right + self.shift * x if self.shift else half @ self.right

    def diagonal(self) -> Tensor:
        """The products of the factors' diagonals, and c."""
        return self._left_diagonal.unsqueeze(-1) * self._right_diagonal.unsqueeze(-2) + self.shift

    def trace(self) -> Tensor:
        """The products of the factors' traces, and c for every number."""
        traces = (self._left_diagonal.sum(-1) * self._right_diagonal.sum(-1)).sum()
        return traces + self.shift * sum(shape.numel() for shape in self.shapes)

    @property
    def _left_diagonal(self) -> Tensor:
        return self.left.diagonal(dim1=1, dim2=2) if self.left.dim() == 3 else self.left

    @property
    def _right_diagonal(self) -> Tensor:
        return self.right.diagonal(dim1=1, dim2=2)

    def damped(self, damping: float, split: bool) -> Tensor:
        r"""Eigenvalues of B + damping I, or of the damped factors' product.

        Split: (left + sqrt(d)/pi I) (x) (right + pi sqrt(d) I) for d = damping + c, where pi^2 is
        the mean eigenvalue of right over that of left (arXiv 1503.05671, section 6.3).
        """
        if not split:
            return super().damped(damping, split)
        means = self._right_diagonal.mean(-1), self._left_diagonal.mean(-1)
        even = (means[0] <= 0) | (means[1] <= 0)
        pi = torch.where(even, 1.0, means[0] / means[1]).sqrt().reshape(-1, 1)
        root = (damping + float(self.shift)) ** 0.5
        left = self._left[0] + root / pi
        right = self._right[0] + root * pi
        damped: Tensor = left.unsqueeze(-1) * right.unsqueeze(-2)
        return damped


def eigen(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, none negative, and eigenvectors of symmetric positive semidefinite matrices."""
    values, vectors = symmetric_eigen(matrix)
    return values.clamp(min=0), vectors
