"""A formula with its scalar state filled in, so that a form meets tensors of state only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor


class Bound:
    """A formula whose scalar slots are given by the lane.

    Args:
        formula: a rule's.
        scalars: the 0-d tensors that stand in its scalar slots, by the slot's index.
    """

    def __init__(self, formula: Callable[..., Any], scalars: Mapping[int, Tensor]) -> None:
        self.formula, self.scalars = formula, scalars
        self.results: dict[int, Any] = {}  # the scalars after the step

    def __call__(self, p: Any, g: Any, *state: Any, **hyper: Any) -> tuple[Any, ...]:
        """The formula's results, with its new scalars put aside."""
        filled = [self.scalars.get(index, x) for index, x in enumerate(state)]
        new_p, *new = self.formula(p, g, *filled, **hyper)
        self.results = {index: new[index] for index in self.scalars}
        return new_p, *(None if index in self.scalars else x for index, x in enumerate(new))
