"""The objective of a step: the mean surrogate loss of its batches, and its gradient.

    E(w) = 1/N sum_i loss(f(x_i; w), y_i) + penalty(w)

over the N samples of the batches that make the step, whatever their sizes, and however many passes
and processes they are spread over: each pass enters with its share of the N samples, so that the
gradient is the one of the large batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.training.batches import Part
from thalweg.training.metrics import OfOutputs, called
from thalweg.training.placement import OneDevice
from thalweg.training.precision import casting

Penalty = Callable[[nn.Module], Tensor]


@dataclass
class Objective:
    """Computes the objective and its gradient.

    Attributes:
        model: as it is trained.
        loss: from outputs and targets to their mean surrogate loss.
        place: where.
        precision: "bf16", "fp16" or None.
        penalty: from the model to a number that is added, if given.
        scale: of what `backward` is called on; the scaler's.
        samples: samples whose gradient was taken so far, on all processes.
    """

    model: nn.Module
    loss: OfOutputs
    place: OneDevice
    precision: str | None = None
    penalty: Penalty | None = None
    scale: Callable[[Tensor], Tensor] = lambda value: value
    samples: int = 0

    def gradient(self, parts: Sequence[Part]) -> tuple[Tensor, Tensor]:
        """Add the gradient to `p.grad`; this process's share of E without and with penalty."""
        total = sum(part.total for part in parts)
        self.samples += total
        surrogate = torch.zeros((), dtype=torch.float64, device=self.place.device)
        whole = surrogate.clone()
        for part in parts:
            is_last = part is parts[-1]
            with nullcontext() if is_last else self.place.silent(self.model):
                weighed = self.mean_loss(part) * (part.samples / total)
                surrogate += weighed.detach().double()
                # Gradients are averaged over processes, so each enters with `world` times its own.
                value = weighed * self.place.world
                if is_last and self.penalty is not None:
                    value = value + self.penalty(self.place.bare(self.model))
                self.place.backward(self.scale(value))
                whole += value.detach().double()
        return surrogate, whole

    def mean_loss(self, part: Part) -> Tensor:
        """The mean loss of this process's share of a batch.

        Raises:
            TypeError: the loss is no tensor.
            ValueError: it is no scalar, or has no gradient.
        """
        outputs, targets = self.outputs(part)
        with casting(self.precision, self.place.device):
            value = self.loss(outputs, targets)
        if not isinstance(value, Tensor):
            raise TypeError(
                f"fit(loss=...): the loss returned a {type(value).__name__}; it must return the "
                "mean over the batch, a tensor that autograd can follow."
            )
        if value.dim():
            raise ValueError(
                f"fit(loss=...): the loss has the shape {tuple(value.shape)}; it must be the mean "
                "over the batch, a scalar. Let it reduce by 'mean'."
            )
        if not value.requires_grad:
            raise ValueError(
                "fit(loss=...): the loss depends on no parameter that is trained: was it detached, "
                "or is every parameter frozen?"
            )
        return value

    def outputs(self, part: Part) -> tuple[Any, Any]:
        """The model's outputs, and the targets on the device."""
        inputs, targets = self.place.moved(part.batch)
        with casting(self.precision, self.place.device):
            return called(self.model, inputs), targets
