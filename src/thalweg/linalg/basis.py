"""An orthonormal set of flat vectors that grows, and what Gram-Schmidt does with it."""

from typing import final

import torch
from torch import Tensor


@final
class Basis:
    """Orthonormal vectors of R^n, stored as the rows of a matrix that doubles when it is full."""

    def __init__(self, size: int, *, dtype: torch.dtype, device: torch.device) -> None:
        self._rows = torch.empty((0, size), dtype=dtype, device=device)
        self._length = 0

    def __len__(self) -> int:
        """How many vectors it holds."""
        return self._length

    @property
    def rows(self) -> Tensor:
        """V', shape (m, n), one vector a row."""
        return self._rows[: self._length]

    def append(self, vector: Tensor) -> None:
        """Add a unit vector, shape (n,), that is orthogonal to those present."""
        if self._length == self._rows.shape[0]:
            self._rows = self._doubled()
        self._rows[self._length] = vector
        self._length += 1

    def orthogonalized(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """`vector` less its part in the span, (n,), and its coefficients there, (m,) in float64.

        Classical Gram-Schmidt, twice: one pass leaves an error that grows with the share of the
        vector that it removed, two leave rounding (Giraud, Langou & Rozloznik, 2005).
        """
        total = torch.zeros(self._length, dtype=torch.float64)
        for _ in range(2):
            coefficients = self.rows @ vector
            vector = vector - coefficients @ self.rows
            total = total + coefficients.cpu().double()
        return vector, total

    def combined(self, weights: Tensor) -> Tensor:
        """The sum of the vectors by `weights`, (m,) to (n,)."""
        return weights.to(self._rows.device, self._rows.dtype) @ self.rows

    def _doubled(self) -> Tensor:
        size = self._rows.shape[1]
        grown = self._rows.new_empty((min(size, max(16, 2 * self._length)), size))
        grown[: self._length] = self._rows
        return grown


def norm(vector: Tensor) -> float:
    """The 2-norm, without overflow or underflow of the squares; nan or inf where an entry is."""
    peak = float(vector.abs().max())
    if not 0 < peak < float("inf"):
        return peak
    return peak * float(torch.linalg.vector_norm(vector / peak))
