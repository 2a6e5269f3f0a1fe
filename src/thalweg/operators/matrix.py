"""A symmetric matrix that is written down, as an operator.

For small problems, for tests, and for losses whose Hessian is known in closed form.
"""

from typing import final

import torch
from torch import Tensor

from thalweg.operators.operator import Operator, checked_facts


@final
class Matrix(Operator):
    """The operator of an explicit symmetric matrix.

    Args:
        entries: shape (n, n), n >= 1, real floating point, symmetric to its rounding.
        facts: what is known of it; see `operators.operator`.
        name: what error messages call it.

    Raises:
        ValueError: not square, empty, not real floating point, or not symmetric.

    Cost: n^2 multiplications a product.
    """

    def __init__(
        self, entries: Tensor, *, facts: frozenset[str] = frozenset(), name: str = "Matrix"
    ) -> None:
        check_symmetric(entries, name)
        self.name = name
        self.size = entries.shape[0]
        self.dtype = entries.dtype
        self.device = entries.device
        self.facts = checked_facts(facts)
        self._entries = entries.detach().clone()

    def _product(self, vector: Tensor) -> Tensor:
        return self._entries @ vector


def check_symmetric(entries: Tensor, name: str) -> None:
    """Raise ValueError unless `entries` is a real symmetric matrix of at least one row."""
    shape = tuple(entries.shape)
    if entries.dim() != 2 or shape[0] != shape[1] or shape[0] == 0:
        raise ValueError(f"{name}: entries have shape {shape}; give a square matrix, (n, n).")
    if not entries.dtype.is_floating_point:
        raise ValueError(f"{name}: entries are {entries.dtype}; give real floating point.")
    asymmetry = float((entries - entries.T).abs().max())
    allowed = 16 * torch.finfo(entries.dtype).eps * float(entries.abs().max())
    if asymmetry > allowed:
        raise ValueError(
            f"{name}: entries differ from their transpose by {asymmetry:.3g}; "
            "an operator is symmetric. Pass (A + A.T) / 2 if that is what you mean."
        )
