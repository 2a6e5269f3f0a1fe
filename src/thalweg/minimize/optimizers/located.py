"""An operator made of parameters that move: its products are those of where it was made."""

from __future__ import annotations

from typing import final

from torch import Tensor

from thalweg.minimize.optimizers.parameters import FlatParameters
from thalweg.operators.operator import ParameterOperator


@final
class Located(ParameterOperator):
    """An operator of live parameters, which are put back to their place for each product.

    Its graph holds the parameters themselves. A search moves them to try other points; the numbers
    of a product are right only while they are where the graph was recorded.

    Args:
        operator: of `operators.snapshot.Live` parameters.
        parameters: the same, flat.
        x: where they stood when it was made, shape (n,).
    """

    def __init__(self, operator: ParameterOperator, parameters: FlatParameters, x: Tensor) -> None:
        self.name, self.facts, self.layout = operator.name, operator.facts, operator.layout
        self.loss, self.gradient = operator.loss, operator.gradient
        self._operator, self._parameters, self._x = operator, parameters, x

    @property
    def held(self) -> int:
        """The operator's own."""
        return self._operator.held

    def exact_diagonal(self) -> Tensor | None:
        """The operator's own."""
        self._return()
        return self._operator.exact_diagonal()

    def exact_trace(self) -> float | None:
        """The operator's own."""
        self._return()
        return self._operator.exact_trace()

    def close(self) -> None:
        """Free what the operator keeps."""
        self._operator.close()

    def _product(self, vector: Tensor) -> Tensor:
        self._return()
        return self._operator @ vector

    def _products(self, vectors: Tensor) -> Tensor:
        self._return()
        return self._operator @ vectors

    def _return(self) -> None:
        if not self._parameters.stand_at(self._x):
            self._parameters.write(self._x)
