"""A model's loss over data as a function of one flat vector, and the matrices of it there."""

from collections.abc import Callable
from functools import partial
from typing import Any, final

import torch
from torch import Tensor, nn

from thalweg.minimize.sample_jacobians import BySamples, Separable
from thalweg.operators import (
    EigenvalueCorrected,
    Fisher,
    GaussNewton,
    Hessian,
    Kronecker,
    Layout,
    ParameterOperator,
)
from thalweg.operators.alignment import Positions
from thalweg.operators.batches import Batch
from thalweg.operators.convexity import is_convex
from thalweg.operators.evaluation import Settings
from thalweg.operators.kronecker import Pieces
from thalweg.operators.likelihood import OfOutput, known_likelihood
from thalweg.operators.model_loss import accelerators, generators
from thalweg.operators.problem import Problem, Selection
from thalweg.operators.random_state import RandomState
from thalweg.operators.reduction import Reduction, reduction_of
from thalweg.operators.snapshot import Snapshot


@final
class ModelLoss:
    """The loss of all data at flat points, shape (n,); arguments are `Objective.of_model`'s.

    Every evaluation begins from the random state of the moment when this was made, so that all of
    them draw the same numbers.

    Attributes:
        start: where the model is, flat.
        layout: how parameters lie in flat vectors.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[Any, Any], Tensor],
        data: Any,
        *,
        params: Selection = None,
        reduction: Reduction | None = None,
        samples: Callable[[Batch], float] | None = None,
        likelihood: OfOutput | None = None,
    ) -> None:
        self._random = RandomState.now(accelerators(model), generators(model).values())
        self._problem = Problem(
            model, loss, data, params=params, reduction=reduction, samples=samples
        )
        self._separable, self._positions = Separable(self._problem), Positions()
        self._model, self._loss, self._data = model, loss, data
        self._reduction = reduction or reduction_of(loss)
        self._samples, self._likelihood = samples, likelihood
        self.layout = Layout.of(self._problem.params)
        self.start = self.layout.flatten(self._problem.params)

    @property
    def has_likelihood(self) -> bool:
        """Whether the loss is known to be a likelihood."""
        try:
            known_likelihood(self._loss, self._likelihood)
        except ValueError:
            return False
        return True

    def value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The loss at x, 0-d, and its gradient, shape (n,)."""
        variables = Snapshot(self.layout.unflatten(x)).variables()
        value, gradient = x.new_zeros(()), torch.zeros_like(x)
        with torch.enable_grad():
            for weight, term in self._problem.terms():
                part = weight * term.loss(variables)
                rows = torch.autograd.grad(part, list(variables.values()), materialize_grads=True)
                value = value + part.detach()
                gradient = gradient + self.layout.flatten(dict(zip(variables, rows, strict=True)))
        return value, gradient

    def hessian(self, x: Tensor) -> ParameterOperator:
        """The Hessian at x."""
        return self._made(Hessian.of_model, x)

    def gauss_newton(self, x: Tensor) -> BySamples:
        """The Gauss-Newton matrix at x."""
        facts = frozenset({"psd"} if is_convex(self._loss) else ())
        make = partial(self._made, GaussNewton.of_model, x)
        params = self.layout.unflatten(x)
        return BySamples(make, params, self.layout, facts, self._separable)

    def fisher(self, x: Tensor) -> ParameterOperator:
        """The Fisher information at x."""
        return self._made(Fisher.of_model, x, likelihood=self._likelihood)

    def kronecker(self, x: Tensor, settings: Settings) -> Kronecker:
        """Kronecker factors at x."""
        return Kronecker.of_pieces(self._pieces(), self.layout.unflatten(x), settings)

    def eigenvalue_corrected(
        self, x: Tensor, settings: Settings, basis: Kronecker | None
    ) -> EigenvalueCorrected:
        """Kronecker factors with corrected eigenvalues at x, in `basis` or in their own."""
        params = self.layout.unflatten(x)
        return EigenvalueCorrected.in_basis_of(basis, self._pieces(), params, settings)

    def _pieces(self) -> Pieces:
        return Pieces(self._problem, self._reduction, self._positions)

    def _made(
        self, of: Callable[..., ParameterOperator], x: Tensor, **more: Any
    ) -> ParameterOperator:
        """An operator at x; its checks are for a loss that is new, and this one is not."""
        with self._random.resumed():
            return of(
                self._model,
                self._loss,
                self._data,
                params=self.layout.unflatten(x),
                reduction=self._reduction,
                samples=self._samples,
                check=False,
                **more,
            )
