r"""Kronecker factors with corrected eigenvalues (EKFAC).

    block  =  (Q_left (x) Q_right) diag(s) (Q_left (x) Q_right)'

The eigenvectors are those of the Kronecker factors; the eigenvalues s are the exact diagonal of the
block in that basis, in place of the products of the factors' eigenvalues. The trace is exact, and
the block never farther from the exact one (in Frobenius norm) than the factors' product.

George et al., *Fast approximate natural gradient descent in a Kronecker-factored eigenbasis*
(arXiv 1806.03884).

Cost: that of `Kronecker` twice over, and the eigendecompositions of the factors.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

from thalweg.operators.blocks import Block
from thalweg.operators.distributed import Group
from thalweg.operators.eigenvalue_correction import corrected
from thalweg.operators.evaluation import Piece
from thalweg.operators.kronecker import Kronecker
from thalweg.operators.kronecker_factors import Collected


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
