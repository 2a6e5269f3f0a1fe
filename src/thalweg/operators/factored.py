r"""A block-diagonal matrix over parameters in blocks that know their eigenvectors; its inverse."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, final

import torch
from torch import Tensor

from thalweg.operators.blocks import Block
from thalweg.operators.layout import Layout
from thalweg.operators.operator import Operator, ParameterOperator

Damping = Literal["exact", "factored"]


class FactoredOperator(ParameterOperator):
    """A positive semidefinite block-diagonal matrix over named parameters.

    Attributes:
        structure: for each parameter, how its block is kept: "Kronecker", "full" or "diagonal".

    The others are `ParameterOperator`'s.
    """

    _blocks: tuple[Block, ...]

    def _begin(
        self,
        params: Mapping[str, Tensor],
        blocks: Sequence[Block],
        loss: float,
        gradient: Mapping[str, Tensor],
    ) -> None:
        layout = Layout.of(params)
        self._hold(layout, blocks, loss, layout.flatten(gradient))

    def _hold(self, layout: Layout, blocks: Sequence[Block], loss: float, gradient: Tensor) -> None:
        self.layout, self.loss, self.gradient = layout, loss, gradient
        self.facts = frozenset({"psd"})
        self._blocks = tuple(blocks)
        self.structure = {name: block.form for block in blocks for name in block.names}

    def _open(self) -> tuple[Block, ...]:
        if not self._blocks:
            raise RuntimeError(
                f"{self.name} @ v after close(): the factors were freed. Take what you need of "
                "them before, or build the operator again."
            )
        return self._blocks

    def _product(self, vector: Tensor) -> Tensor:
        return self._products(vector.unsqueeze(1)).squeeze(1)

    def _products(self, vectors: Tensor) -> Tensor:
        parts = taken_apart(self.layout, vectors)
        for block in self._open():
            replace_parts(block, parts, block.product(block_vector(block, parts)))
        return put_together(self.layout, parts)

    def exact_diagonal(self) -> Tensor:
        """The diagonal, shape (n,)."""
        return diagonal_of(self.layout, [(block, block.diagonal()) for block in self._open()])

    def trace(self) -> float:
        """The trace, exactly."""
        return math.fsum(float(block.trace()) for block in self._open())

    def logdet(self, damping: float = 0.0) -> float:
        """log det(A + damping I); minus infinity for a singular matrix without damping.

        Raises:
            ValueError: `damping` is negative or not finite.
        """
        check_damping(self.name, "logdet", damping)
        values = [block.eigenvalues.double() + damping for block in self._open()]
        return math.fsum(float(v.log().sum()) for v in values)

    def eigenvalues(self) -> Tensor:
        """All n eigenvalues, from the smallest, shape (n,)."""
        values = [block.eigenvalues.reshape(-1) for block in self._open()]
        joined = torch.cat([v.to(self.device, self.dtype) for v in values])
        return joined.sort().values

    def inverse(self, damping: float, *, split: Damping = "exact") -> FactoredInverse:
        r"""(A + damping I)^-1 as an operator.

        Args:
            damping: positive; 0 is allowed where no eigenvalue is zero to rounding.
            split: "exact" adds the damping to the eigenvalues; "factored" adds sqrt(damping) to
                each of two Kronecker factors, in proportion to their sizes (arXiv 1503.05671,
                section 6.3), and has no meaning for other blocks and for corrected eigenvalues,
                which take "exact".

        Raises:
            ValueError: `damping` is negative, not finite, or 0 for a singular matrix; or `split`
                is neither.
        """
        check_damping(self.name, "inverse", damping)
        if split not in ("exact", "factored"):
            raise ValueError(f"{self.name}.inverse(split={split!r}): choose 'exact' or 'factored'.")
        damped = [(b, b.damped(damping, split == "factored")) for b in self._open()]
        check_regular(self.name, damping, damped)
        return FactoredInverse(self, [(block, values.reciprocal()) for block, values in damped])

    def solve(self, vectors: Tensor, damping: float, *, split: Damping = "exact") -> Tensor:
        """(A + damping I)^-1 v, or of several vectors; see `inverse`."""
        return self.inverse(damping, split=split) @ vectors

    @property
    def held(self) -> int:
        """Bytes of the factors, without their eigenvectors."""
        kept = [value for block in self._blocks for value in vars(block).values()]
        return sum(x.numel() * x.element_size() for x in kept if isinstance(x, Tensor))

    def close(self) -> None:
        """Free the factors; `loss`, `gradient` and `structure` stay."""
        self._blocks = ()


@final
class FactoredInverse(Operator):
    """Q diag(values) Q' over the blocks of another operator.

    Args:
        of: the operator.
        spectra: its blocks, each with values in place of its eigenvalues.
    """

    def __init__(self, of: FactoredOperator, spectra: Sequence[tuple[Block, Tensor]]) -> None:
        self.name = f"inverse {of.name}"
        self.size, self.dtype, self.device = of.size, of.dtype, of.device
        self.facts = frozenset({"psd"})
        self.layout = of.layout
        self._spectra = list(spectra)

    def _product(self, vector: Tensor) -> Tensor:
        return self._products(vector.unsqueeze(1)).squeeze(1)

    def _products(self, vectors: Tensor) -> Tensor:
        parts = taken_apart(self.layout, vectors)
        for block, values in self._spectra:
            replace_parts(block, parts, block.scaled(values, block_vector(block, parts)))
        return put_together(self.layout, parts)

    def exact_diagonal(self) -> Tensor:
        """The diagonal, shape (n,): the variances, where the inverse is a covariance."""
        return diagonal_of(self.layout, [(b, b.spread(values)) for b, values in self._spectra])

    def trace(self) -> float:
        """The trace, exactly."""
        return math.fsum(float(values.sum()) for _, values in self._spectra)


def taken_apart(layout: Layout, vectors: Tensor) -> dict[str, Tensor]:
    """k flat vectors (n, k) as named tensors (k, *shape)."""
    pieces = torch.split(vectors.T, [shape.numel() for shape in layout.shapes], 1)
    return {
        name: piece.reshape(-1, *shape)
        for name, piece, shape in zip(layout.names, pieces, layout.shapes, strict=True)
    }


def put_together(layout: Layout, parts: Mapping[str, Tensor]) -> Tensor:
    """Named tensors (k, *shape) as k flat vectors (n, k)."""
    rows = [parts[name].reshape(len(parts[name]), -1) for name in layout.names]
    return torch.cat([row.to(layout.device, layout.dtype) for row in rows], 1).T


def block_vector(block: Block, parts: Mapping[str, Tensor]) -> Tensor:
    """A block's own part of vectors, joined."""
    return block.joined([parts[name].to(block.device, block.dtype) for name in block.names])


def replace_parts(block: Block, parts: dict[str, Tensor], x: Tensor) -> None:
    """Put joined vectors of a block in the place of its parts."""
    parts.update(zip(block.names, block.parted(x), strict=True))


def diagonal_of(layout: Layout, diagonals: Sequence[tuple[Block, Tensor]]) -> Tensor:
    """The flat diagonal of blocks' diagonals."""
    parts: dict[str, Tensor] = {}
    for block, diagonal in diagonals:
        replace_parts(block, parts, diagonal.unsqueeze(0))
    return put_together(layout, parts).squeeze(1)


def check_damping(name: str, call: str, damping: float) -> None:
    """Raise ValueError unless `damping` is a finite number that is not negative."""
    if not 0 <= damping < math.inf:
        raise ValueError(
            f"{name}.{call}(damping={damping}): damping must be at least 0 and finite."
        )


def check_regular(name: str, damping: float, spectra: Sequence[tuple[Block, Tensor]]) -> None:
    """Raise ValueError if a damped eigenvalue is zero to rounding and nothing was added to it."""
    if damping:
        return
    for block, values in spectra:
        rounding = torch.finfo(values.dtype).eps * values.numel() * float(values.max())
        if float(values.min()) <= rounding:
            raise ValueError(
                f"{name}.inverse(damping=0): the block of {', '.join(block.names)} is singular to "
                "rounding; give a positive damping."
            )
