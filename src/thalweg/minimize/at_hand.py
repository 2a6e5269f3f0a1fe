r"""The loss at hand, of a program's current minibatch, as an objective over flat vectors.

    f(x) = loss(parameters) + sum_i decay_i x_i^2 / 2

The objective stays one while the loss under it changes from step to step.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from torch import Tensor

from thalweg.minimize.objective import Objective
from thalweg.operators import EigenvalueCorrected, Fisher, GaussNewton, Kronecker, Layout, Operator
from thalweg.operators.alignment import Positions
from thalweg.operators.convexity import is_convex
from thalweg.operators.evaluation import Piece, Settings
from thalweg.operators.likelihood import likelihood_of
from thalweg.operators.reduction import reduction_of

Params = dict[str, Tensor]


@final
@dataclass(frozen=True, eq=False)
class Parts:
    """A loss in two: the model's outputs, and what is made of them.

    Attributes:
        output: from the parameters to the outputs.
        loss: from the outputs to the loss.
        functions: PyTorch's loss functions that it calls, with their options.
        sums: whether the loss is a sum of theirs, with weights of at least 0, and of outputs.
        targets: of the loss function, where the loss is what one function gives of one output and
            no more; else None.
    """

    output: Callable[[Params], Sequence[Tensor]]
    loss: Callable[[Sequence[Tensor]], Tensor]
    functions: Sequence[Any]
    sums: bool
    targets: Tensor | None = None


@final
@dataclass(frozen=True, eq=False)
class StepLoss:
    """The loss of one step.

    Attributes:
        loss: from the parameters by name to a scalar tensor: the same minibatch and the same random
            numbers at every call, and no side effects.
        value: the loss as the program computed it, at the parameters as they are; a scalar, and no
            number where the program did not compute it.
        parts: the same loss in two; raises ValueError where it cannot be had so.
    """

    loss: Callable[[Params], Tensor]
    value: Tensor
    parts: Callable[[], Parts]


@final
class AtHand:
    """The loss at hand.

    Args:
        layout: where each parameter lies in a flat vector, shape (n,).
        decay: for each parameter, the factor of |p|^2 / 2 that is added to the loss.

    Attributes:
        objective: the loss at hand over such vectors.
        loss: at hand.
    """

    def __init__(self, layout: Layout, decay: Sequence[float]) -> None:
        self.loss: StepLoss | None = None
        self._layout, self._positions = layout, Positions()
        self._decay = spread(layout, decay) if any(decay) else None
        self.objective = Objective(
            lambda x: self._penalized(self._open().loss(self._layout.unflatten(x)), x),
            torch.empty(layout.size, dtype=layout.dtype, device=layout.device),
            gauss_newton=self._gauss_newton,
            fisher=self._fisher,
            kronecker=self._kronecker,
            eigenvalue_corrected=self._corrected,
        )

    def known(self, x: Tensor) -> float:
        """The loss at `x`, where the parameters are, as the program computed it."""
        return float(self._penalized(self._open().value.detach(), x))

    def _open(self) -> StepLoss:
        if self.loss is None:
            raise RuntimeError("AtHand: no loss is at hand; set `loss` first.")
        return self.loss

    def _penalized(self, value: Tensor, x: Tensor) -> Tensor:
        return value if self._decay is None else value + torch.dot(self._decay * x, x) / 2

    def _gauss_newton(self, x: Tensor) -> Operator:
        """Of the outputs; with a decay, whose curvature is its own, x is one of them."""
        parts = self._open().parts()

        def output(params: Params) -> tuple[Tensor, ...]:
            beside = () if self._decay is None else (params["x"],)
            return (*parts.output(self._layout.unflatten(params["x"])), *beside)

        def loss(outputs: Sequence[Tensor]) -> Tensor:
            if self._decay is None:
                return parts.loss(outputs)
            return self._penalized(parts.loss(outputs[:-1]), outputs[-1])

        convex = parts.sums and all(map(is_convex, parts.functions))
        return GaussNewton(output, loss, {"x": x}, convex=convex)

    def _kronecker(self, x: Tensor, settings: Settings) -> Kronecker:
        """Factors of what the layers do; decays and penalties have no part in them."""
        return Kronecker.of_pieces(self._pieces(), self._layout.unflatten(x), settings)

    def _corrected(
        self, x: Tensor, settings: Settings, basis: Kronecker | None
    ) -> EigenvalueCorrected:
        """The same with corrected eigenvalues."""
        params = self._layout.unflatten(x)
        return EigenvalueCorrected.in_basis_of(basis, self._pieces(), params, settings)

    def _pieces(self) -> list[Piece]:
        """The loss at hand as the one batch that factors are made of."""
        parts = of_samples(self._open().parts())
        return [Piece(parts.output, parts.loss, positions=self._positions)]

    def _fisher(self, x: Tensor) -> Operator:
        """Of the distribution that the loss function stands for; a decay has no part in it."""
        parts = self._open().parts()
        if parts.targets is None:
            raise ValueError(
                "the loss is more than one of PyTorch's loss functions of one output, and so is no "
                "likelihood that is known; take a method that needs no Fisher matrix: "
                "hessian-free, or l-bfgs"
            )
        (function,) = parts.functions
        known = likelihood_of(function)
        return Fisher(
            lambda params: parts.output(self._layout.unflatten(params["x"]))[0],
            lambda output: parts.loss([output]),
            known.distribution,
            {"x": x},
            reduction=reduction_of(function),
            counted=known.counted(parts.targets),
        )


def of_samples(parts: Parts) -> Parts:
    """The loss as one of the outputs that have samples, the other ones being constants.

    Where those that have none are added to it, as penalties are, its Gauss-Newton matrix is the
    same: a sum has no second derivative in what it adds up.
    """
    apart: list[Tensor | None] = []

    def output(params: Params) -> list[Tensor]:
        outputs = parts.output(params)
        apart[:] = [None if x.dim() else x.detach() for x in outputs]
        kept = [x for x in outputs if x.dim()]
        check_samples(kept, parts.sums or len(kept) == len(outputs))
        return kept

    def loss(outputs: Sequence[Tensor]) -> Tensor:
        given = iter(outputs)
        return parts.loss([next(given) if x is None else x for x in apart])

    return replace(parts, output=output, loss=loss)


def check_samples(outputs: Sequence[Tensor], added: bool) -> None:
    """Raise ValueError unless outputs belong to the same samples.

    Args:
        outputs: those with at least one axis.
        added: whether those without one are added to the loss, and no more.
    """
    if not added:
        raise ValueError(
            "the loss multiplies what its loss functions give by numbers made of parameters, or "
            "transforms them; Kronecker factors take losses, and penalties that are added to them"
        )
    if len({len(x) for x in outputs}) > 1:
        shapes = ", ".join(str(tuple(x.shape)) for x in outputs)
        raise ValueError(
            f"the loss functions compare tensors of shapes {shapes}, and Kronecker factors take "
            "one batch of samples along all their first axes; write a penalty on parameters as a "
            "sum that is added to the loss"
        )


def spread(layout: Layout, values: Sequence[float]) -> Tensor:
    """A vector of shape (n,) with each parameter's value at all its entries."""
    rows = zip(layout.shapes, values, strict=True)
    parts = [torch.full((shape.numel(),), value) for shape, value in rows]
    return torch.cat(parts).to(layout.device, layout.dtype)
