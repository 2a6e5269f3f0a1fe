r"""A block with Kronecker factors whose eigenvalues have been corrected (EKFAC).

    B  =  (Q_left (x) Q_right) diag(s) (Q_left (x) Q_right)'

The basis may be older than the factors, which go on being averaged beside it until they give the
next one. George et al., *Fast approximate natural gradient descent in a Kronecker-factored
eigenbasis* (arXiv 1806.03884), algorithm 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, final

from torch import Tensor

from thalweg.operators.blocks import KroneckerBlock, WeightBlock


@final
@dataclass(frozen=True)
class CorrectedBlock(WeightBlock):
    """The eigenvalues s = `values` in the basis of some Kronecker factors.

    Attributes:
        left, right: the factors that the next basis is to be that of.
        left_basis: Q_left, (groups, p, p); None for the identity.
        right_basis: Q_right, (groups, q, q).
        values: s, (groups, p, q).
    """

    summed: ClassVar[tuple[str, ...]] = ("left", "right", "values")

    left_basis: Tensor | None
    right_basis: Tensor
    values: Tensor

    @classmethod
    def of(
        cls, factors: WeightBlock, basis: tuple[Tensor | None, Tensor], values: Tensor
    ) -> CorrectedBlock:
        """The block with these factors, in this basis, of these eigenvalues there."""
        return cls(factors.names, factors.shapes, factors.left, factors.right, *basis, values)

    @property
    def basis(self) -> tuple[Tensor | None, Tensor]:
        """Q_left, None for the identity, and Q_right."""
        return self.left_basis, self.right_basis

    @property
    def eigenvalues(self) -> Tensor:
        """s."""
        return self.values

    def plus(self, diagonal: Tensor) -> CorrectedBlock:
        """The multiple of the identity that the diagonal is, in any basis."""
        return replace(self, values=self.values + diagonal.mean())

    def refreshed(self) -> CorrectedBlock:
        """The block in the eigenbasis that its factors have now.

        Its eigenvalues are the diagonal of B there: the nearest diagonal, and the same trace.
        """
        left, right = KroneckerBlock(self.names, self.shapes, self.left, self.right).basis
        values = self.values
        if left is not None and self.left_basis is not None:
            values = (left.mT @ self.left_basis).square() @ values
        values = values @ (self.right_basis.mT @ right).square()
        return replace(self, left_basis=left, right_basis=right, values=values)
