"""Where the loop stands: a point, the loss and its gradient there, and the matrices on demand."""

import math
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from thalweg.minimize.contract import Need
from thalweg.minimize.counts import Counts
from thalweg.minimize.objective import Objective
from thalweg.minimize.sample_jacobians import BySamples
from thalweg.operators import EigenvalueCorrected, Kronecker, Operator
from thalweg.operators.evaluation import Settings
from thalweg.operators.operator import ParameterOperator


@final
class Counted(Operator):
    """An operator whose products are counted, and refused once it is closed."""

    def __init__(self, operator: Operator, counts: Counts) -> None:
        self.name, self.size = operator.name, operator.shape[0]
        self.dtype, self.device, self.facts = operator.dtype, operator.device, operator.facts
        self._operator: Operator | None = operator
        self._counts = counts

    def _product(self, vector: Tensor) -> Tensor:
        self._counts.products += 1
        return self._open() @ vector

    def _products(self, vectors: Tensor) -> Tensor:
        self._counts.products += vectors.shape[1]
        return self._open() @ vectors

    def to_dense(self) -> Tensor:
        """The matrix itself, shape (n, n), from samples' Jacobians where they tell it."""
        operator = self._open()
        if not isinstance(operator, BySamples):
            return super().to_dense()
        before = operator.passes
        matrix = operator.to_dense()
        self._counts.products += operator.passes - before
        return matrix

    def exact_diagonal(self) -> Tensor | None:
        """The operator's own."""
        return self._open().exact_diagonal()

    def exact_trace(self) -> float | None:
        """The operator's own."""
        return self._open().exact_trace()

    def close(self) -> None:
        """Free what the operator keeps."""
        if isinstance(self._operator, ParameterOperator | BySamples):
            self._operator.close()
        self._operator = None

    def _open(self) -> Operator:
        if self._operator is None:
            raise RuntimeError(
                f"{self.name} @ v after the loop has left the place where the matrix was made. "
                "Take the products in propose, or ask the new place for its own matrix."
            )
        return self._operator


@final
class Standing:
    """A place, as `contract.Place` describes it.

    Args:
        objective: whose loss it is.
        x: the point, shape (n,).
        value, gradient: the loss and its gradient there.
    """

    def __init__(self, objective: Objective, x: Tensor, value: float, gradient: Tensor) -> None:
        self.x, self.value, self.gradient = x, value, gradient
        self._objective = objective
        self._made: dict[Need, Counted] = {}

    @cached_property
    def size(self) -> float:
        """|g|_inf, in the loss's units per unit of the parameters; nan where an entry is."""
        least, most = torch.aminmax(self.gradient)  # abs().max() takes several times as long
        return max(-float(least), float(most)) + 0.0  # which makes of -0 a 0

    @property
    def finite(self) -> bool:
        """Whether the loss and all of its gradient are numbers."""
        return math.isfinite(self.value) and math.isfinite(self.size)

    def hessian(self) -> Operator:
        """The Hessian here; made once."""
        return self._operator("hessian")

    def gauss_newton(self) -> Operator:
        """The Gauss-Newton matrix here; made once."""
        return self._operator("gauss-newton")

    def fisher(self) -> Operator:
        """The Fisher information here; made once."""
        return self._operator("fisher")

    def kronecker(self, settings: Settings) -> Kronecker:
        """Kronecker factors here, for whoever asks to keep."""
        return self._objective.kronecker(self.x, settings)

    def eigenvalue_corrected(
        self, settings: Settings, basis: Kronecker | None = None
    ) -> EigenvalueCorrected:
        """The same with corrected eigenvalues."""
        return self._objective.eigenvalue_corrected(self.x, settings, basis)

    def close(self) -> None:
        """Free the matrices; their products are refused from here on."""
        for operator in self._made.values():
            operator.close()

    def _operator(self, need: Need) -> Operator:
        if need not in self._made:
            made = self._objective.operator(need, self.x)
            self._made[need] = Counted(made, self._objective.counts)
        return self._made[need]
