"""An operator over a whole data set: the weighted sum of its batches' operators.

    A = sum_b w_b A_b,        w_b = samples_b / total for a loss that is a mean over its batch

The loss and the gradient are summed with the same weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import final

import torch
from torch import Tensor

from thalweg.curvature.batches import Batch, Batches
from thalweg.curvature.operator import ParameterOperator

Make = Callable[[Batch], ParameterOperator]


def over(batches: Batches, make: Make) -> ParameterOperator:
    """The operator of all the batches; of one batch, that batch's own.

    Args:
        batches: the data.
        make: from a batch to its operator.
    """
    if len(batches) == 1:
        return make(next(iter(batches)).batch)
    return Average(batches, make)


@final
class Average(ParameterOperator):
    """sum_b w_b A_b over batches.

    Args:
        batches: the data, gone through once for every product.
        make: from a batch to its operator A_b.

    Cost: the products of all batches' operators, and their making.
    """

    def __init__(self, batches: Batches, make: Make) -> None:
        self._batches, self._make = batches, make
        self.loss = 0.0
        for weight, part in self._parts():
            if not self.loss and not hasattr(self, "gradient"):
                self.name, self.layout, self.facts = part.name, part.layout, part.facts
                self.gradient = torch.zeros_like(part.gradient)
            self.loss += weight * part.loss
            self.gradient = self.gradient + weight * part.gradient

    def _parts(self) -> Iterator[tuple[float, ParameterOperator]]:
        for batch, _, weight in self._batches:
            with self._make(batch) as part:
                yield weight, part

    def _product(self, vector: Tensor) -> Tensor:
        total = torch.zeros_like(vector)
        for weight, part in self._parts():
            total += weight * (part @ vector)
        return total

    def _products(self, vectors: Tensor) -> Tensor:
        return self._product(vectors)
