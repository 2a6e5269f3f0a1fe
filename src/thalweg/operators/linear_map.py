"""Linear maps known by their products, such as a network's Jacobian.

A curvature matrix of a network with n parameters has n^2 entries and is never written down; what
can be had is its product with a vector. A `LinearMap` is that product and the transpose's, with a
shape, a precision, a place and a name. Vectors are flat: `operators.layout` joins named parameters
into one vector and takes them apart again, so algorithms in `linalg` never see a parameter.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor


class LinearMap(ABC):
    """An m x n matrix A known by ``A @ v`` and ``A.T @ u``.

    Attributes:
        name: what the matrix is, as error messages call it ("Jacobian").
        shape: (m, n).
        dtype: precision of the vectors it takes and gives.
        device: where those vectors lie.
    """

    name: str
    dtype: torch.dtype
    device: torch.device

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """(m, n)."""

    @abstractmethod
    def _product(self, vector: Tensor) -> Tensor:
        """A v for one vector of shape (n,), already checked."""

    @abstractmethod
    def _transposed_product(self, vector: Tensor) -> Tensor:
        """A' u for one vector of shape (m,), already checked."""

    def _products(self, vectors: Tensor) -> Tensor:
        """A V, shape (m, k), for V of shape (n, k), already checked, k >= 1."""
        return torch.stack([self._product(column) for column in vectors.unbind(1)], 1)

    def _transposed_products(self, vectors: Tensor) -> Tensor:
        """A' U, shape (n, k), for U of shape (m, k), already checked, k >= 1."""
        return torch.stack([self._transposed_product(column) for column in vectors.unbind(1)], 1)

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """A v, shape (m,), for v of shape (n,); A V, shape (m, k), for V of shape (n, k).

        Raises:
            TypeError: not a tensor, or of another dtype than the map.
            ValueError: of another shape, or on another device.
        """
        check_vectors(self, vectors)
        if vectors.dim() == 1:
            return self._product(vectors)
        if vectors.shape[1] == 0:
            return vectors.new_empty(self.shape[0], 0)
        return self._products(vectors)

    @property
    def T(self) -> LinearMap:
        """A', the transpose."""
        return Transpose(self)

    def to_dense(self) -> Tensor:
        """The matrix itself, shape (m, n); costs min(m, n) products and m n numbers."""
        m, n = self.shape
        if m < n:
            return (self.T @ torch.eye(m, dtype=self.dtype, device=self.device)).T
        return self @ torch.eye(n, dtype=self.dtype, device=self.device)

    def __repr__(self) -> str:
        """Name, shape and precision on one line."""
        return f"<{self.name} {self.shape[0]} x {self.shape[1]}, {self.dtype}>"


@final
class Transpose(LinearMap):
    """A' for a linear map A."""

    def __init__(self, of: LinearMap) -> None:
        self.name = f"transposed {of.name}"
        self.dtype, self.device = of.dtype, of.device
        self._of = of

    @property
    def shape(self) -> tuple[int, int]:
        """(n, m)."""
        m, n = self._of.shape
        return (n, m)

    def _product(self, vector: Tensor) -> Tensor:
        return self._of._transposed_product(vector)

    def _transposed_product(self, vector: Tensor) -> Tensor:
        return self._of._product(vector)

    def _products(self, vectors: Tensor) -> Tensor:
        return self._of._transposed_products(vectors)

    def _transposed_products(self, vectors: Tensor) -> Tensor:
        return self._of._products(vectors)

    @property
    def T(self) -> LinearMap:
        """A itself."""
        return self._of


def check_vectors(operator: LinearMap, vectors: object) -> None:
    """Refuse what `operator` cannot be multiplied with; see `LinearMap.__matmul__`."""
    name, (m, n) = operator.name, operator.shape
    if not isinstance(vectors, Tensor):
        raise TypeError(
            f"{name} @ v: v is a {type(vectors).__name__}; give a torch.Tensor of shape ({n},)."
        )
    if vectors.dim() not in (1, 2) or vectors.shape[0] != n:
        noun = "matrix" if vectors.dim() == 2 else "vector"
        raise ValueError(
            f"{name} is {m} x {n}; got a {noun} of shape {tuple(vectors.shape)}. "
            f"Give a vector of shape ({n},) or a matrix of shape ({n}, k)."
        )
    if vectors.dtype != operator.dtype:
        raise TypeError(
            f"{name} is {operator.dtype}; got a vector of {vectors.dtype}. "
            f"Convert it: v.to({operator.dtype})."
        )
    if vectors.device != operator.device:
        raise ValueError(
            f"{name} is on {operator.device}; got a vector on {vectors.device}. "
            f"Move it: v.to({str(operator.device)!r})."
        )
