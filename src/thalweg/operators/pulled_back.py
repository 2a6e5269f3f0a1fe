"""J' M J: a metric M on a model's outputs, pulled back to its parameters.

Gauss-Newton, the Fishers and the gradients' covariance are all of this form and differ in M alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, final

import torch
from torch import Tensor

from thalweg.operators.differentiation import explained, twice_differentiable
from thalweg.operators.linearization import Leaves, Linearization, by_chunks, derivatives
from thalweg.operators.memory import graph_bytes
from thalweg.operators.operator import ParameterOperator
from thalweg.operators.snapshot import Snapshot

LossOfOutput = Callable[[Any], Tensor]
Metric = Callable[[Leaves], Leaves]
PSD = frozenset({"psd"})


class PulledBack(ParameterOperator):
    """J' M J at `params`, with the loss and its gradient there.

    Args:
        output: from named parameters to the model's output; see `Linearization`.
        loss: from the output to a scalar tensor.
        params: names to tensors.

    A subclass sets `metric`: from a tangent of the outputs, one tensor for each (with k of them
    stacked in front of each where there are k tangents), to M times it. Or it overrides
    `_pulled_back`, the whole product.
    """

    metric: Metric

    def __init__(
        self,
        name: str,
        output: Callable[[dict[str, Tensor]], Any],
        loss: LossOfOutput,
        params: Mapping[str, Tensor],
        facts: frozenset[str],
    ) -> None:
        self.name, self.facts = name, facts
        self._output, self._loss, params = output, loss, Snapshot.of(params)
        self._params: Snapshot | None = params
        self.linearization = Linearization(name, output, params)
        self.layout = self.linearization.layout
        self.loss_of_output = DifferentiatedLoss(self.linearization, loss)
        self.loss = self.loss_of_output.value
        self.gradient = self.linearization.seeded(self.loss_of_output.gradient)

    def _product(self, vector: Tensor) -> Tensor:
        return self._pulled_back(vector)

    def _products(self, vectors: Tensor) -> Tensor:
        return by_chunks(self._pulled_back, vectors, self.linearization.at_once)

    def _pulled_back(self, vectors: Tensor) -> Tensor:
        return self.linearization.pull(self.metric(self.linearization.push(vectors)))

    @property
    def place(self) -> Tensor:
        """The parameters, flat, shape (n,)."""
        return self.layout.flatten(self._open())

    def loss_at(self, by: Tensor) -> float:
        """The loss at the parameters plus `by`; may be infinite or no number."""
        there = self._displaced(by)
        with twice_differentiable(), torch.no_grad():
            return float(self._loss(self._output(there)))

    def gradient_at(self, by: Tensor) -> Tensor:
        """The gradient at the parameters plus `by`."""
        there = Snapshot(self._displaced(by)).variables()
        with twice_differentiable():
            value = self._loss(self._output(dict(there)))
            rows = torch.autograd.grad(value, list(there.values()), materialize_grads=True)
        return self.layout.flatten(dict(zip(there, rows, strict=True))).detach()

    def _displaced(self, by: Tensor) -> dict[str, Tensor]:
        steps = self.layout.unflatten(by.detach())
        return {name: p + steps[name] for name, p in self._open().items()}

    def _open(self) -> Snapshot:
        self.linearization.check_open()
        return self._params or Snapshot()

    @property
    def held(self) -> int:
        """Bytes of the kept graphs, beside the parameters."""
        return self.linearization.held + self.loss_of_output.held

    def close(self) -> None:
        """Free the graphs; `loss` and `gradient` stay, products are refused from here on."""
        self.linearization.close()
        self.loss_of_output.close()
        self._params = None


@final
class DifferentiatedLoss:
    """A loss as a function of the outputs: its value, its gradient, its Hessian's products.

    Args:
        linearization: of the model's output.
        loss: from the output, in its own structure, to a scalar tensor.

    Attributes:
        value: a float.
        gradient: for each output, of its shape.
        partly: the same, None for an output that the loss does not use.

    Raises:
        TypeError: the loss is no tensor.
        ValueError: it is not a scalar, not finite, or does not depend on the output.
        NotImplementedError: PyTorch has no second derivative of an operation in the loss.
    """

    def __init__(self, linearization: Linearization, loss: LossOfOutput) -> None:
        self._name = linearization.name
        with twice_differentiable(), explained(self._name):
            self._point: Leaves = tuple(z.clone().requires_grad_() for z in linearization.outputs)
            # A loss that works in place must not find a leaf.
            value = loss(linearization.rebuilt([z.clone() for z in self._point]))
            found = torch.autograd.grad(
                checked(self._name, value), self._point, create_graph=True, allow_unused=True
            )
        self.value = float(value.detach())
        self.partly: tuple[Tensor | None, ...] = tuple(
            None if g is None else g.detach() for g in found
        )
        self._gradient: Leaves = tuple(
            torch.zeros_like(z) if g is None else g for g, z in zip(found, self._point, strict=True)
        )
        self.gradient: Leaves = tuple(g.detach() for g in self._gradient)

    @property
    def is_linear(self) -> bool:
        """Whether the gradient does not depend on the outputs at all."""
        return not any(g.requires_grad for g in self._gradient)

    def hessian(self, tangents: Leaves) -> Leaves:
        """The loss's Hessian in the outputs times tangents (k in front where there are k)."""
        stacked = tangents[0].dim() > self._point[0].dim()
        bent = [i for i, g in enumerate(self._gradient) if g.requires_grad]
        of, weights = [self._gradient[i] for i in bent], [tangents[i] for i in bent]
        if not of:
            return tuple(torch.zeros_like(tangent) for tangent in tangents)
        with twice_differentiable(), explained(self._name):
            return derivatives(of, self._point, weights, stacked)

    @property
    def held(self) -> int:
        """Bytes of the kept graph and the gradient."""
        return graph_bytes((*self._gradient, *self.gradient))

    def close(self) -> None:
        """Free the graph and the gradient."""
        self._point = self._gradient = self.gradient = self.partly = ()


def checked(name: str, value: object) -> Tensor:
    """`value` as a 0-d tensor with a graph, or an error that says why it is not one."""
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{name}: loss(output) returned a {type(value).__name__}; return the loss as a scalar "
            "tensor, without .item() or float()."
        )
    if value.numel() != 1:
        raise ValueError(
            f"{name}: loss(output) has shape {tuple(value.shape)}; return a scalar, such as its "
            ".mean() or .sum()."
        )
    if not bool(torch.isfinite(value.detach()).all()):
        raise ValueError(
            f"{name}: loss(output) is {float(value.detach())}; a loss that is not finite has no "
            "curvature. Go back to parameters where it is."
        )
    if not value.requires_grad:
        raise ValueError(
            f"{name}: loss(output) does not depend on the output; compute it from the output that "
            "it is handed, without torch.no_grad() or .detach() on the way."
        )
    return value.reshape(())
