"""An orthonormal set of flat vectors that grows, and what Gram-Schmidt does with it.

The vectors lie in pages of several rows each. A page is allocated when it is needed and never
moved, so that growing costs no copy: the memory held is that of the vectors present, and of at
most one page more.
"""

import math
from typing import final

import torch
from torch import Tensor

# A page has at least eight rows, for one pass over a vector to serve several of them, and at most
# as many as make it worth a call.
PAGE_BYTES = 2**22
PAGE_ROWS = range(8, 129)

# Entries of the vectors that are rotated at a time, at least; else as many as fill one vector.
ROTATED_AT_ONCE = 256

# Products that are added up in the vectors' own precision.
ADDED_AT_ONCE = 4096


@final
class Basis:
    """Orthonormal vectors of R^n.

    Args:
        size: n.
        capacity: no more than so many vectors will be held at a time; n if None.
    """

    def __init__(
        self, size: int, *, dtype: torch.dtype, device: torch.device, capacity: int | None = None
    ) -> None:
        self.size = size
        self.dtype = dtype
        self.device = device
        self.capacity = size if capacity is None else min(capacity, size)
        self._length = 0
        self._pages: list[Tensor] = []
        rows = PAGE_BYTES // (size * dtype.itemsize)
        self._page_rows = min(max(rows, PAGE_ROWS.start), PAGE_ROWS.stop - 1)

    def __len__(self) -> int:
        """How many vectors it holds."""
        return self._length

    @property
    def allocated(self) -> int:
        """How many vectors it has memory for."""
        return sum(page.shape[0] for page in self._pages)

    def to_dense(self) -> Tensor:
        """V', shape (m, n), one vector a row: a copy."""
        return torch.cat([torch.empty((0, self.size)).to(self._like()), *self._filled()])

    def append(self, vector: Tensor) -> None:
        """Add a unit vector, shape (n,), that is orthogonal to those present.

        Raises:
            ValueError: the basis is full.
        """
        if self._length == self.capacity:
            raise ValueError(f"Basis.append: it holds {self._length} vectors, its capacity.")
        if self._length == self.allocated:
            rows = min(self._page_rows, self.capacity - self._length)
            self._pages.append(self._like().new_empty((rows, self.size)))
        self._row(self._length).copy_(vector)
        self._length += 1

    def orthogonalized(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """`vector` less its part in the span, (n,), and its coefficients there, (m,) in float64.

        Classical Gram-Schmidt, twice: one pass leaves an error that grows with the share of the
        vector that it removed, two leave rounding (Giraud, Langou & Rozloznik, 2005).
        """
        total = torch.zeros(self._length, dtype=torch.float64)
        for _ in range(2):
            coefficients = self._coefficients(vector)
            vector = self._less(vector, coefficients)
            total = total + coefficients.cpu()
        return vector, total

    def combined(self, weights: Tensor) -> Tensor:
        """The sum of the vectors by `weights`, (m,) to (n,)."""
        return -self._less(self._like().new_zeros(self.size), weights)

    def rotate(self, weights: Tensor) -> None:
        """Put V W in the place of V: `weights` W, (m, k), has orthonormal columns, k <= m.

        Works through the vectors' entries a few at a time, in the memory of one vector.
        """
        turn = weights.T.to(self._like())
        before, self._length = self._filled(), len(turn)
        after = self._filled()
        width = max(ROTATED_AT_ONCE, self.size // sum(turn.shape))
        for start in range(0, self.size, width):
            entries = slice(start, start + width)
            turned = turn @ torch.cat([page[:, entries] for page in before])
            for page, part in zip(after, torch.split(turned, self._page_rows), strict=True):
                page[:, entries].copy_(part)

    def _coefficients(self, vector: Tensor) -> Tensor:
        """V' x, shape (m,), in float64."""
        none = torch.empty(0, dtype=torch.float64, device=self.device)
        return torch.cat([none, *(dots(page, vector) for page in self._filled())])

    def _less(self, vector: Tensor, coefficients: Tensor) -> Tensor:
        """x - V c, shape (n,)."""
        coefficients, start = coefficients.to(self._like()), 0
        for page in self._filled():
            part = coefficients[start : start + page.shape[0]]
            vector = torch.addmv(vector, page.T, part, alpha=-1)
            start += page.shape[0]
        return vector

    def _filled(self) -> list[Tensor]:
        """The rows in use, page by page."""
        starts = range(0, self._length, self._page_rows)
        return [
            page[: self._length - start] for start, page in zip(starts, self._pages, strict=False)
        ]

    def _row(self, i: int) -> Tensor:
        return self._pages[i // self._page_rows][i % self._page_rows]

    def _like(self) -> Tensor:
        """An empty tensor of the basis' dtype, where the basis is."""
        return torch.empty(0, dtype=self.dtype, device=self.device)


def dots(rows: Tensor, vector: Tensor) -> Tensor:
    """The product of `rows`, (m, n), with `vector`, (n,), in float64.

    The entries are multiplied and added in their own precision a few thousand at a time, and those
    sums in float64. Added one to the other in float32, 25 million squares lose their third digit.
    """
    count = len(vector) // ADDED_AT_ONCE
    whole = count * ADDED_AT_ONCE
    parts = rows[:, :whole].view(len(rows), count, ADDED_AT_ONCE).transpose(0, 1)
    sums = torch.bmm(parts, vector[:whole].reshape(count, ADDED_AT_ONCE, 1))[..., 0]
    return sums.double().sum(0) + (rows[:, whole:] @ vector[whole:]).double()


def norm(vector: Tensor) -> float:
    """The 2-norm, without overflow or underflow of the squares; nan or inf where an entry is."""
    peak = float(vector.abs().max())
    if not 0 < peak < float("inf"):
        return peak
    scaled = vector / peak
    return peak * math.sqrt(float(dots(scaled[None], scaled)))
