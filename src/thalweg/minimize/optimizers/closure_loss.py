"""What a closure says, as a function of the flat parameters: loss, gradient, and matrices.

A closure says it in one of three ways:

    by PyTorch's convention   it clears the gradients, calls `backward` and returns the loss
    without `backward`        it returns the loss, a tensor with its graph
    as a pair                 it returns (output, targets), and `loss` makes a loss of them

Each gives the loss and its gradient, and the Hessian: a closure's own `backward` is kept from
freeing the graph. The Gauss-Newton and the Fisher matrix and Kronecker factors take the loss apart
at the model's output: they need the pair, or the model (`optimizers.apart`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor

from thalweg.minimize.optimizers.apart import Apart
from thalweg.minimize.optimizers.backward import KeptBackward
from thalweg.minimize.optimizers.located import Located
from thalweg.minimize.optimizers.parameters import FlatParameters
from thalweg.minimize.optimizers.replay import Replay
from thalweg.operators import (
    EigenvalueCorrected,
    Fisher,
    GaussNewton,
    Hessian,
    Kronecker,
    Operator,
)
from thalweg.operators.alignment import Positions
from thalweg.operators.convexity import is_convex
from thalweg.operators.evaluation import Piece, Settings
from thalweg.operators.likelihood import OfOutput, known_likelihood
from thalweg.operators.operator import ParameterOperator
from thalweg.operators.reduction import reduction_of

Closure = Callable[[], Any]
LossOfTargets = Callable[[Any, Any], Tensor]
Parts = tuple[Callable[[Any], Any], Callable[[Any], Tensor], Callable[[], int | None] | None]


@final
class ClosureLoss:
    """The loss that one closure after another computes with the same parameters.

    Args:
        call: the optimizer's name, for messages.
        parameters: what the closures compute with; they stand wherever the loss was asked last.
        replay: see `optimizers.replay`.
        loss: from an output and its targets to a scalar, for closures that return that pair.
        likelihood: from an output to the distribution of targets, where `loss` does not say.

    Attributes:
        closure: the one at hand; None between steps.
        returned: the loss that its first call returned, as it was returned.
        graded_at: the point that every `p.grad` belongs to; None if to none.
        graded: whether each parameter had a gradient when the loss was asked last.
    """

    def __init__(
        self,
        call: str,
        parameters: FlatParameters,
        replay: Replay,
        loss: LossOfTargets | None = None,
        likelihood: OfOutput | None = None,
    ) -> None:
        self.parameters = parameters
        self.closure: Closure | None = None
        self.returned: Any = None
        self.graded_at: Tensor | None = None
        self.graded: list[bool] = []
        self._call, self._replay = call, replay
        self._loss, self._likelihood = loss, likelihood
        self._positions = Positions()
        self._apart: Apart | None = None

    def begin(self, closure: Closure) -> None:
        """Begin a step: what this closure computes is the loss now."""
        self.closure, self.returned, self.graded_at = closure, None, None
        self._apart = None
        self._replay.begin(self.parameters.leaves)

    def end(self) -> None:
        """End it; `returned` stays."""
        self.closure = None
        self._replay.end()

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The loss at flat `x`, a scalar, and its gradient, shape (n,)."""
        self.parameters.write(x)
        for leaf in self.parameters.leaves:
            leaf.grad = None
        returned = self._evaluated()
        value = self._scalar(returned)
        leaves = self.parameters.leaves
        if all(leaf.grad is None for leaf in leaves) and value.requires_grad:
            found = torch.autograd.grad(value, leaves, allow_unused=True)
            for leaf, gradient in zip(leaves, found, strict=True):
                leaf.grad = gradient
        if self.returned is None:
            self.returned = returned if not isinstance(returned, tuple | Tensor) else value.detach()
        self.graded_at, self.graded = x, [leaf.grad is not None for leaf in leaves]
        return value.detach(), self.parameters.gradient()

    def value(self, x: Tensor) -> Tensor:
        """The loss alone, without a graph where the closure lets it."""
        self.parameters.write(x)
        self.graded_at = None
        with KeptBackward():
            return self._scalar(self._evaluated(graph=False)).detach()

    def hessian(self, x: Tensor) -> Operator:
        """The Hessian at flat `x`, by the kept graph of a call of the closure."""
        return self._located(x, lambda: Hessian(lambda _: self._whole(), self.parameters.live()))

    def gauss_newton(self, x: Tensor) -> Operator:
        """The Gauss-Newton matrix at flat `x`."""
        output, loss_of, _ = self._parts()
        convex = is_convex(self._loss)
        live = self.parameters.live()
        return self._located(x, lambda: GaussNewton(output, loss_of, live, convex=convex))

    def fisher(self, x: Tensor) -> Operator:
        """The Fisher information at flat `x`."""
        output, loss_of, _ = self._parts()
        known = known_likelihood(self._loss, self._likelihood)
        counted = None
        if known.ignored is not None:
            self._go(x)
            counted = known.counted(self._evaluated(graph=False)[1])
        return self._located(
            x,
            lambda: Fisher(
                output,
                loss_of,
                known.distribution,
                self.parameters.live(),
                reduction=reduction_of(self._loss),
                counted=counted,
            ),
        )

    def kronecker(self, x: Tensor, settings: Settings) -> Kronecker:
        """Kronecker factors of the Gauss-Newton matrix at flat `x`."""
        pieces = self._pieces(x)
        return Kronecker.of_pieces(pieces, self.parameters.live(), settings)

    def eigenvalue_corrected(
        self, x: Tensor, settings: Settings, basis: Kronecker | None
    ) -> EigenvalueCorrected:
        """The same with corrected eigenvalues, in `basis` or in their own."""
        live = self.parameters.live()
        return EigenvalueCorrected.in_basis_of(basis, self._pieces(x), live, settings)

    def _pieces(self, x: Tensor) -> list[Piece]:
        """The closure's batch, the parameters being at `x`."""
        self._go(x)
        output, loss_of, samples = self._parts()
        count = samples() if samples else None
        return [Piece(output, loss_of, count, positions=self._positions)]

    def _located(self, x: Tensor, make: Callable[[], ParameterOperator]) -> Operator:
        self._go(x)
        return Located(make(), self.parameters, x)

    def _go(self, x: Tensor) -> None:
        self.parameters.write(x)
        self.graded_at = None

    def _evaluated(self, graph: bool = True) -> Any:
        """What the closure returns; every call of a step draws and writes the same."""
        if self.closure is None:
            raise RuntimeError(
                f"{self._call}: the loss is asked between steps; call step(closure)."
            )
        with torch.set_grad_enabled(graph), self._replay.evaluation():
            return self.closure()

    def _scalar(self, returned: Any) -> Tensor:
        """The loss in what a closure returned."""
        if isinstance(returned, tuple) and len(returned) == 2 and self._loss is not None:
            with torch.enable_grad():
                returned = self._loss(*returned)
        if isinstance(returned, float | int):
            return torch.tensor(float(returned), dtype=torch.float64)
        if not isinstance(returned, Tensor):
            raise TypeError(f"{self._call}.step(closure): {unfit(returned, self._loss)}")
        if returned.numel() != 1:
            raise ValueError(
                f"{self._call}.step(closure): the closure returned a tensor of shape "
                f"{tuple(returned.shape)}; return the loss, one number: take its sum or its mean."
            )
        with torch.enable_grad():
            return returned.reshape(())

    def _whole(self) -> Tensor:
        """The loss with its graph, whatever the closure does with it."""
        with KeptBackward() as kept:
            value = self._scalar(self._evaluated())
        total = value if kept.total is None else kept.total
        if not total.requires_grad:
            raise ValueError(
                f"{self._call}.step(closure): the closure returned a loss without its graph, of "
                "which there is no Hessian. Return the tensor itself, without .item() or .detach()."
            )
        return total

    def _parts(self) -> Parts:
        """The output as a function, the loss of an output, and the number of samples."""
        if self._loss is not None or self._replay.model is None:
            return self._pair()
        if self._apart is None:
            self._apart = Apart(self._call, self._replay.model, self._whole)
        return self._apart.output, self._apart.loss, self._apart.counted

    def _pair(self) -> Parts:
        """The same where the closure returns (output, targets)."""
        targets: list[Any] = []
        loss = self._loss
        if loss is None:
            raise ValueError(
                f"{self._call}(loss=None): its matrix needs the loss apart from the model. Give "
                "model=..., which the closure calls; or loss=..., such as "
                "torch.nn.functional.cross_entropy, and a closure that returns "
                "(model(inputs), targets)."
            )

        def output(_: Any) -> Any:
            found = self._evaluated()
            if not isinstance(found, tuple) or len(found) != 2:
                raise TypeError(f"{self._call}.step(closure): {unfit(found, loss)}")
            targets[:] = [found[1]]
            return found[0]

        return output, lambda found: loss(found, *targets), None


def unfit(returned: object, loss: LossOfTargets | None) -> str:
    """What a closure should have returned."""
    wanted = "the loss" if loss is None else "(model(inputs), targets)"
    return f"the closure returned a {type(returned).__name__}; return {wanted}."
