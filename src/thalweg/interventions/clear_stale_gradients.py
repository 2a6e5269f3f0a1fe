"""Clearing stale gradients: what an update has used is gone before the next backward pass.

What it changes: when a backward pass begins, gradients that an update has used since they arrived
and that are still there are dropped. Gradient accumulation is untouched: its sums are unused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch.optim.optimizer import Optimizer

from thalweg.interventions.intervention import Intervention
from thalweg.recorder.leaves import leaves_of, trained_by


@dataclass
class ClearStaleGradients(Intervention):
    """Call what a missing ``zero_grad`` would have done."""

    kind: ClassVar[str] = "clear-stale-gradients"
    _used: list[tuple[torch.Tensor, torch.Tensor]] = field(default_factory=list, init=False)
    _leaves: list[torch.Tensor] = field(default_factory=list, init=False)
    _being_updated: list[torch.Tensor] = field(default_factory=list, init=False)

    def as_data(self) -> dict[str, Any]:
        """Plain data."""
        return {"kind": self.kind}

    def before_backward(self, loss: torch.Tensor) -> None:
        """Drop the gradients that an update has used, or that a closure's last call has left."""
        used = self._used + [(p, p.grad) for p in self._being_updated if p.grad is not None]
        for parameter, gradient in used:
            if parameter.grad is gradient:
                parameter.grad = None
        self._used = []
        self._leaves = leaves_of(loss)

    def before_step(self, optimizer: Optimizer | None) -> None:
        """Gradients that arrive during an update are those of a closure."""
        self._being_updated = [] if optimizer is None else trained_by([optimizer])

    def after_step(self, optimizer: Optimizer | None) -> None:
        """Remember which gradients have been used."""
        params = self._leaves if optimizer is None else self._being_updated
        self._used += [(p, p.grad) for p in params if p.grad is not None]
        self._being_updated = []

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        return "Clear the gradients before every backward pass."

    def edit(self) -> str:
        """A line of code."""
        return "optimizer.zero_grad()"
