r"""What the remaining weights must become for a given choice of those that go.

    minimize  (w - v)' H (w - v) / 2   over w with  w_Q = 0:      H_KK w_K = (H v)_K

v the weights as they are, Q those that go and K those that are kept. It is the group formula of
Optimal Brain Surgeon seen from the other side: that one inverts H and a block of the inverse as
large as what is removed, this one solves a system as large as what is kept, and needs of H nothing
but products. So it serves where H is never written down.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from thalweg.linalg import cg
from thalweg.operators import Operator

TOLERANCE, MOST_PRODUCTS = 1e-6, 500


@final
class Kept(Operator):
    """H_KK: the rows and columns of an operator that belong to kept numbers.

    Args:
        operator: H, n x n.
        kept: whether each number is kept, shape (n,).
    """

    def __init__(self, operator: Operator, kept: Tensor) -> None:
        self.name = f"kept part of {operator.name}"
        self.dtype, self.device, self.facts = operator.dtype, operator.device, operator.facts
        self._operator, self._places = operator, kept.nonzero().squeeze(1)
        self._count, self.size = operator.size, len(self._places)

    def _product(self, vector: Tensor) -> Tensor:
        return (self._operator @ self.padded(vector))[self._places]

    def padded(self, vector: Tensor) -> Tensor:
        """A vector of the kept numbers with zeros for the others, shape (n,)."""
        return vector.new_zeros(self._count).index_copy(0, self._places, vector)


def compensated(operator: Operator, place: Tensor, removed: Tensor, damping: float) -> Tensor:
    """The minimum of the quadratic around `place` where the `removed` weights are zero.

    Args:
        operator: H, positive semidefinite.
        place: v, shape (n,).
        removed: whether each weight is removed, shape (n,).
        damping: added to H's diagonal; positive where H is singular.

    Returns:
        w, shape (n,); to a relative residual of 1e-6, or as near as 500 products come.
    """
    fixed = place.masked_fill(removed, 0.0)
    if removed.all():
        return fixed
    kept, lost = Kept(operator, ~removed), place - fixed
    pull = (operator @ lost)[~removed]  # damping adds nothing here: what is lost is zero there
    found = cg(kept, pull, damping=damping, tol=TOLERANCE, max_products=MOST_PRODUCTS)
    return fixed + kept.padded(found.x)


def fitted(weights: Tensor, hessian: Tensor, removed: Tensor) -> Tensor:
    """The same for rows that share one small H which is written down, exactly.

    Args:
        weights: v of each row, shape (p, q).
        hessian: H, positive definite, shape (q, q).
        removed: whether each weight is removed, shape (p, q).
    """
    kept = (~removed).to(weights.dtype)
    matrix = hessian * kept.unsqueeze(-1) * kept.unsqueeze(-2)
    matrix = matrix + torch.diag_embed(1 - kept)
    pull: Tensor = kept * (weights @ hessian)
    found: Tensor = torch.linalg.solve(matrix, pull.unsqueeze(-1))
    return found.squeeze(-1)
