"""A Hessian whose products and gradients are counted."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from thalweg.operators import Layout, ParameterOperator


@final
class Counted(ParameterOperator):
    """An operator over parameters, as it is, with what was asked of it.

    Attributes:
        products: A @ v, one for each vector.
        evaluations: of the loss or the gradient elsewhere.
    """

    def __init__(self, operator: ParameterOperator) -> None:
        self.name, self.facts = operator.name, operator.facts
        self.layout: Layout = operator.layout
        self.loss, self.gradient = operator.loss, operator.gradient
        self._operator = operator
        self.products = self.evaluations = 0

    @property
    def place(self) -> Tensor:
        """The parameters, flat."""
        return self._operator.place

    def loss_at(self, by: Tensor) -> float:
        """The loss at a displacement."""
        self.evaluations += 1
        return self._operator.loss_at(by)

    def gradient_at(self, by: Tensor) -> Tensor:
        """The gradient at a displacement."""
        self.evaluations += 1
        return self._operator.gradient_at(by)

    def _product(self, vector: Tensor) -> Tensor:
        self.products += 1
        return self._operator @ vector

    def _products(self, vectors: Tensor) -> Tensor:
        self.products += vectors.shape[1]
        return torch.as_tensor(self._operator @ vectors)
