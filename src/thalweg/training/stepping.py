"""One update from the batches at hand, by whatever kind of optimizer.

An optimizer is given a closure, which clears the gradients, computes the objective and its gradient
and returns its value. One that needs no more than the gradient calls it once; a line search asks
again on the same batches. Where a loss is scaled (float16), the gradient is taken first, unscaled,
and the scaler decides whether there is a step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from thalweg.minimize.optimizers.optimizer import MethodOptimizer
from thalweg.training.batches import Part
from thalweg.training.clipping import ClipNorm, ClipValue
from thalweg.training.objective import Objective

Clip = ClipNorm | ClipValue | Callable[[Any], object]


@dataclass
class Stepping:
    """Makes updates.

    Attributes:
        objective: computes the gradient.
        optimizer: makes a step of it.
        clip: what is done to the gradient between.
        scaler: scales the loss, if the precision needs it.
        was_made: whether the last step was made, and not left out for an overflow.
    """

    objective: Objective
    optimizer: Optimizer
    clip: Clip | None = None
    scaler: torch.amp.GradScaler | None = None
    was_made: bool = True

    def __call__(self, parts: Sequence[Part]) -> Tensor:
        """Step; this process's share of the surrogate loss where the step began."""
        if self.scaler is not None:
            return self.scaled(parts, self.scaler)
        if takes_pairs(self.optimizer):
            return torch.as_tensor(self.by_outputs(parts), dtype=torch.float64)
        found: list[Tensor] = []

        def closure() -> Tensor:
            self.optimizer.zero_grad()
            surrogate, whole = self.objective.gradient(parts)
            found.append(surrogate)
            self.clipped()
            return whole

        self.optimizer.step(closure)  # type: ignore[arg-type] # PyTorch's own take tensors too
        return found[0]

    def by_outputs(self, parts: Sequence[Part]) -> Any:
        """A step of a method that takes the loss apart at the model's output."""
        (part,) = parts

        def closure() -> Any:
            self.objective.samples += part.total
            return self.objective.outputs(part)

        return self.optimizer.step(closure)

    def scaled(self, parts: Sequence[Part], scaler: torch.amp.GradScaler) -> Tensor:
        """A step unless a scaled gradient overflowed."""
        self.optimizer.zero_grad()
        surrogate, _ = self.objective.gradient(parts)
        scaler.unscale_(self.optimizer)
        self.clipped()
        scaler.step(self.optimizer)
        scale = scaler.get_scale()
        scaler.update()
        self.was_made = scaler.get_scale() >= scale
        return surrogate

    def clipped(self) -> None:
        """Clip the gradient."""
        if self.clip is not None:
            self.clip([p for group in self.optimizer.param_groups for p in group["params"]])


def takes_pairs(optimizer: Optimizer) -> bool:
    """Whether its closure returns (outputs, targets)."""
    return isinstance(bare(optimizer), MethodOptimizer) and bare(optimizer).takes_pairs


def searches(optimizer: Optimizer) -> bool:
    """Whether it compares losses, which a clipped or scaled gradient would belie."""
    return isinstance(bare(optimizer), (MethodOptimizer, torch.optim.LBFGS))


def bare(optimizer: Any) -> Any:
    """The optimizer inside of one that stands around it."""
    inner = getattr(optimizer, "optimizer", None)
    return bare(inner) if isinstance(inner, Optimizer) else optimizer
