"""Symmetric matrices known by their products.

An `Operator` is a `LinearMap` that equals its transpose, with facts: what the maker of an operator
vouches for and an algorithm may rely on.

* ``psd``: positive semidefinite, v'Av >= 0 for every v.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from thalweg.operators.layout import Layout
from thalweg.operators.linear_map import LinearMap

FACTS = frozenset({"psd"})


class Operator(LinearMap):
    """A symmetric n x n matrix A known by ``A @ v``.

    Attributes:
        size: n.
        facts: a subset of `FACTS`.

    The others are `LinearMap`'s.
    """

    size: int
    facts: frozenset[str]

    @property
    def shape(self) -> tuple[int, int]:
        """(n, n)."""
        return (self.size, self.size)

    @property
    def T(self) -> Operator:
        """A itself."""
        return self

    def _transposed_product(self, vector: Tensor) -> Tensor:
        return self._product(vector)

    def _transposed_products(self, vectors: Tensor) -> Tensor:
        return self._products(vectors)

    def exact_diagonal(self) -> Tensor | None:
        """The diagonal, shape (n,), where it costs no more than a few products; None elsewhere."""
        return None

    def exact_trace(self) -> float | None:
        """The trace where it does not need n products, though maybe a pass for every sample."""
        return None

    def __repr__(self) -> str:
        """Name, size, precision and facts on one line."""
        facts = "".join(f", {fact}" for fact in sorted(self.facts))
        return f"<{self.name} {self.size} x {self.size}, {self.dtype}{facts}>"


class ParameterOperator(Operator):
    """An operator over named parameters, at the place where they were when it was made.

    Attributes:
        layout: where each parameter lies in the flat vectors.
        loss: the loss there, a float.
        gradient: the loss's gradient there, flat, shape (n,).

    Use it as a context manager, or call `close()`, to free what it keeps for its products (a
    graph, factors) as soon as they are done; the attributes stay.
    """

    layout: Layout
    loss: float
    gradient: Tensor

    @property
    def size(self) -> int:  # type: ignore[override]
        """n, the number of parameters counted one by one."""
        return self.layout.size

    @property
    def dtype(self) -> torch.dtype:  # type: ignore[override]
        """The widest precision among the parameters'."""
        return self.layout.dtype

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """Where the first parameter lies."""
        return self.layout.device

    @property
    def held(self) -> int:
        """Bytes kept for products, beside the parameters, until `close()`."""
        return 0

    @property
    def place(self) -> Tensor:
        """The parameters, flat, shape (n,)."""
        raise self._unknown("place")

    def loss_at(self, by: Tensor) -> float:
        """The loss at the parameters plus `by`, shape (n,); operators made of a loss know it."""
        raise self._unknown("loss_at")

    def gradient_at(self, by: Tensor) -> Tensor:
        """The gradient at the parameters plus `by`, both of shape (n,)."""
        raise self._unknown("gradient_at")

    def _unknown(self, call: str) -> NotImplementedError:
        return NotImplementedError(
            f"{self.name}.{call}: it was not made of a loss that can be evaluated elsewhere; use "
            "a Hessian."
        )

    def close(self) -> None:
        """Free what is kept for products; they are refused from here on."""

    def __enter__(self) -> Self:
        """The operator itself; `close()` follows at the end of the block."""
        return self

    def __exit__(self, *exception: object) -> None:
        """`close()`, whatever happened."""
        self.close()


def checked_facts(facts: frozenset[str] | set[str]) -> frozenset[str]:
    """`facts` as a frozen set; raises ValueError on one that no algorithm knows."""
    unknown = sorted(set(facts) - FACTS)
    if unknown:
        raise ValueError(f"facts={unknown}: not known; an operator's facts are {sorted(FACTS)}.")
    return frozenset(facts)
