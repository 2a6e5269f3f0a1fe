r"""Kronecker factors with corrected eigenvalues (EKFAC).

    block  =  (Q_left (x) Q_right) diag(s) (Q_left (x) Q_right)'

The eigenvectors are those of the Kronecker factors; the eigenvalues s are the exact diagonal of the
block in that basis, in place of the products of the factors' eigenvalues. The trace is exact, and
the block never farther from the exact one (in Frobenius norm) than the factors' product.

George et al., *Fast approximate natural gradient descent in a Kronecker-factored eigenbasis*
(arXiv 1806.03884).

For averages over many steps the basis is kept for a while: operators `in_basis_of` one another can
be averaged, eigenvalues and factors both, and the average is `refreshed` now and then: given the
eigenbasis that its factors have by then (algorithm 1 there).

Cost: that of `Kronecker` twice over, and the eigendecompositions of the factors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from typing import Self, final

from torch import Tensor

from thalweg.operators.blocks import Block
from thalweg.operators.corrected_block import CorrectedBlock
from thalweg.operators.distributed import Group
from thalweg.operators.eigenvalue_correction import corrected
from thalweg.operators.evaluation import Piece, Settings
from thalweg.operators.kronecker import Kronecker
from thalweg.operators.kronecker_factors import Collected, collected


@final
class EigenvalueCorrected(Kronecker):
    """Eigenvalue-corrected Kronecker factors; arguments and attributes are `Kronecker`'s.

    The data is gone through twice and must be the same both times; "monte-carlo" draws the same
    columns again.
    """

    name = "EigenvalueCorrected"

    def _finished(
        self, found: Collected, pieces: Iterable[Piece], group: Group | None
    ) -> tuple[Block, ...]:
        return corrected(pieces, found.params, found.settings, found.blocks(), group)

    @classmethod
    def in_basis_of(
        cls,
        basis: Kronecker | None,
        pieces: Iterable[Piece],
        params: Mapping[str, Tensor],
        settings: Settings,
        group: Group | None = None,
    ) -> Self:
        """The factors of `pieces`, but their exact diagonals in the basis of another operator.

        Args:
            basis: whose eigenvectors are taken: an operator of the same model; None for their own.
            pieces, params, settings, group: as `of_pieces`.

        Raises:
            ValueError: `basis` has no factors for a parameter that has some here.
        """
        operator = cls.__new__(cls)
        found = collected(pieces, params, settings, group)
        kept = None if basis is None else basis._open()
        blocks = corrected(pieces, params, settings, found.blocks(), group, kept)
        operator._take(found, blocks)
        return operator

    def refreshed(self) -> Self:
        """The same in the eigenbases that the factors have now.

        The eigenvalues there are the diagonal of the matrix as it was: its trace stays.
        """
        result = copy(self)
        result._blocks = tuple(
            block.refreshed() if isinstance(block, CorrectedBlock) else block
            for block in self._open()
        )
        return result
