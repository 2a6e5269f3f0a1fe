"""What was computed of a matrix, kept for as long as the matrix is the one asked about.

A step that was refused is asked for again with a smaller radius and the same model. Writing the
model down took n products and decomposing it n^3 operations; neither depends on the radius.
"""

import weakref
from collections.abc import Callable
from typing import Generic, TypeVar, final

import torch
from torch import Tensor

from thalweg.operators import Operator

T = TypeVar("T")


@final
class Remembered(Generic[T]):
    """A function of a matrix's entries that remembers its last value.

    Args:
        compute: of B's entries in float64, shape (n, n), symmetric.
        call: who asks, for error messages.
        max_size: the largest n that is written down.
    """

    def __init__(self, compute: Callable[[Tensor], T], call: str, max_size: int) -> None:
        if max_size < 1:
            raise ValueError(f"{call}(max_size={max_size}): give the largest n, at least 1.")
        self.max_size = max_size
        self._compute = compute
        self._call = call
        self._model: weakref.ref[Operator] | None = None
        self._value: T | None = None

    def __call__(self, model: Operator) -> tuple[T, int]:
        """The value for B, and the products that it took now.

        Raises:
            ValueError: B is too large to be written down.
            FloatingPointError: B is not finite.
        """
        if self._model is not None and self._model() is model and self._value is not None:
            return self._value, 0
        self._value = self._compute(self._entries(model))
        self._model = weakref.ref(model)
        return self._value, model.size

    def _entries(self, model: Operator) -> Tensor:
        if model.size > self.max_size:
            raise ValueError(
                f"{self._call}.step({model.name}): it writes the matrix down, and this one is "
                f"{model.size} x {model.size}. Use Steihaug, which takes products, or "
                f"{self._call}(max_size={model.size})."
            )
        entries = model.to_dense().double()
        if not torch.isfinite(entries).all():
            raise FloatingPointError(
                f"{model.name} is not finite: the curvature has no value here. Go back to "
                "parameters with a finite loss, or use float64."
            )
        return (entries + entries.T) / 2
