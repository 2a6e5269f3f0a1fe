"""Symmetric matrices known by their products.

A curvature matrix of a network with n parameters has n^2 entries and is never written down; what
can be had is its product with a vector. An `Operator` is that product with a size, a precision, a
place, and facts. Vectors are flat: `curvature.layout` joins named parameters into one vector and
takes them apart again, so algorithms in `linalg` never see a parameter.

Facts are what the maker of an operator vouches for and an algorithm may rely on:

* ``psd``: positive semidefinite, v'Av >= 0 for every v.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

FACTS = frozenset({"psd"})


class Operator(ABC):
    """A symmetric n x n matrix A known by ``A @ v``.

    Attributes:
        name: what the matrix is, as error messages call it ("Hessian").
        size: n.
        dtype: precision of the vectors it takes and gives.
        device: where those vectors lie.
        facts: a subset of `FACTS`.
    """

    name: str
    size: int
    dtype: torch.dtype
    device: torch.device
    facts: frozenset[str]

    @abstractmethod
    def _product(self, vector: Tensor) -> Tensor:
        """A v for one vector of shape (n,), already checked."""

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """A v, shape (n,), for v of shape (n,); A V, shape (n, k), for V of shape (n, k).

        Raises:
            TypeError: not a tensor, or of another dtype than the operator.
            ValueError: of another shape, or on another device.
        """
        check_vectors(self, vectors)
        if vectors.dim() == 1:
            return self._product(vectors)
        columns = [self._product(column) for column in vectors.unbind(1)]
        return torch.stack(columns, 1) if columns else torch.empty_like(vectors)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, n)."""
        return (self.size, self.size)

    def to_dense(self) -> Tensor:
        """The matrix itself, shape (n, n); costs n products and n^2 numbers."""
        return self @ torch.eye(self.size, dtype=self.dtype, device=self.device)

    def __repr__(self) -> str:
        """Name, size, precision and facts on one line."""
        facts = "".join(f", {fact}" for fact in sorted(self.facts))
        return f"<{self.name} {self.size} x {self.size}, {self.dtype}{facts}>"


def check_vectors(operator: Operator, vectors: object) -> None:
    """Refuse what `operator` cannot be multiplied with; see `Operator.__matmul__`."""
    name, n = operator.name, operator.size
    if not isinstance(vectors, Tensor):
        raise TypeError(
            f"{name} @ v: v is a {type(vectors).__name__}; give a torch.Tensor of shape ({n},)."
        )
    if vectors.dim() not in (1, 2) or vectors.shape[0] != n:
        noun = "matrix" if vectors.dim() == 2 else "vector"
        raise ValueError(
            f"{name} is {n} x {n}; got a {noun} of shape {tuple(vectors.shape)}. "
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


def checked_facts(facts: frozenset[str] | set[str]) -> frozenset[str]:
    """`facts` as a frozen set; raises ValueError on one that no algorithm knows."""
    unknown = sorted(set(facts) - FACTS)
    if unknown:
        raise ValueError(f"facts={unknown}: not known; an operator's facts are {sorted(FACTS)}.")
    return frozenset(facts)
