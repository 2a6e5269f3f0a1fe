"""Estimates without one column, or without two: what XTrace, XNysTrace and their errors share.

A basis Q with Q R = Y for the columns Y spans, without column i, all that is orthogonal to
Q x_i, where x_i is the unit vector along column i of R^-T; without i and j, all that is orthogonal
to Q x_i and Q x_j.
"""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor


@final
@dataclass(frozen=True, eq=False)
class Pairs:
    """The planes spanned by x_i and x_j.

    Attributes:
        directions: x_1 ... x_s, as columns, shape (s, s).
        cosines: x_i'x_j, with zeros on the diagonal, shape (s, s).
    """

    directions: Tensor
    cosines: Tensor

    @classmethod
    def of(cls, r: Tensor) -> "Pairs":
        """From the triangle R, shape (s, s), float64."""
        eye = torch.eye(len(r), dtype=r.dtype)
        inverse = torch.linalg.solve_triangular(r, eye, upper=True)
        directions = inverse.T / torch.linalg.vector_norm(inverse.T, dim=0)
        cosines = directions.T @ directions
        return cls(directions, cosines - torch.diag(cosines.diagonal()))

    def coefficients(self, products: Tensor) -> tuple[Tensor, Tensor]:
        """Those of w_j's part in the plane of x_i and x_j: on x_i and on x_j, shape (s, s) each.

        Args:
            products: x_i'w_j, shape (s, s).
        """
        own = products.diagonal()
        mine = (products - self.cosines * own) / self._sines()
        other = (own - self.cosines * products) / self._sines()
        return mine, other

    def trace(self, forms: Tensor) -> Tensor:
        """tr(U'H U) on the plane of x_i and x_j, for `forms` X'H X; shape (s, s) each."""
        sizes = forms.diagonal()
        return (sizes[:, None] + sizes - 2 * self.cosines * forms) / self._sines()

    def _sines(self) -> Tensor:
        """Squares of the sines of the angles between x_i and x_j."""
        return 1 - self.cosines.square()


def jackknife(estimates: Tensor) -> float:
    """A standard error that is too large in expectation, never too small: Efron and Stein's.

    Args:
        estimates: of column j without columns i and j, shape (s, s); the diagonal is not read.
    """
    s = len(estimates)
    totals = estimates.sum(1) - estimates.diagonal()
    without = totals / (s - 1)
    return math.sqrt((s - 1) / s * float((without - without.mean()).square().sum()))
