r"""A small symmetric matrix by its eigenvalues, and what stands in for those that are not positive.

    H = Q diag(lambda) Q',      d = -Q diag(1 / size(lambda)) Q' g

The sizes are kept above a share `floor` of the largest |lambda|, so that the condition number of
what is solved with is at most 1 / floor:

    "absolute"   size = max(|lambda|, floor |lambda|_max)
    "floor"      size = max( lambda,  floor |lambda|_max)

With "floor" a direction of negative curvature gets a step of length |g| / floor, with "absolute"
one of the length that a positive curvature of that size would give it (J. Greenstadt, *Math.
Comput.* 21, 1967; J. Nocedal & S. Wright, *Numerical Optimization*, 2006, section 3.4).
"""

from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

from thalweg.operators import LinearMap

Modification = Literal["absolute", "floor"]


@final
@dataclass(frozen=True, eq=False)
class Spectrum:
    """The eigenvalues and eigenvectors of a symmetric matrix, or of its projection.

    Attributes:
        values: lambda, ascending, float64, shape (m,).
        vectors: in columns, float64, shape (n, m).
    """

    values: Tensor
    vectors: Tensor

    @classmethod
    def of(cls, matrix: Tensor) -> "Spectrum":
        """Of a dense matrix, shape (n, n)."""
        wide = matrix.double()
        return cls(*torch.linalg.eigh((wide + wide.mT) / 2))

    @property
    def largest(self) -> float:
        """|lambda|_max."""
        return float(self.values.abs().max())

    @property
    def rounding(self) -> float:
        """By which the eigenvalues may be wrong."""
        return len(self.vectors) * torch.finfo(torch.float64).eps * self.largest


def sizes(values: Tensor, modification: Modification, floor: float) -> Tensor:
    """What stands for the eigenvalues; all are positive but where every eigenvalue is 0."""
    bent = values.abs() if modification == "absolute" else values
    return bent.clamp_min(floor * float(values.abs().max()))


def solved(spectrum: Spectrum, gradient: Tensor, size: Tensor) -> Tensor:
    """-Q diag(1 / size) Q' g in g's dtype; a size of 0 counts as 1."""
    along = spectrum.vectors.T @ gradient.double()
    divided = along / torch.where(size > 0, size, 1.0)
    return -(spectrum.vectors @ divided).to(gradient.dtype)


def dense(direction: str, matrix: LinearMap, largest: int, instead: str) -> Tensor:
    """The matrix written down, for as many products as it has columns.

    Raises:
        ValueError: it has more than `largest` columns.
    """
    _, n = matrix.shape
    if n > largest:
        raise ValueError(
            f"{direction}: it writes down the {matrix.name} of {n} parameters, and would take {n} "
            f"products and {8 * n * n / 2**30:.3g} GiB a step. Use {instead}, or allow it with "
            f"largest={n}."
        )
    return matrix.to_dense()
