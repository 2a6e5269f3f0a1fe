"""Gradient clipping: the gradient of an update gets at most this global norm.

What it changes: just before an update all gradients of the optimizer are scaled together (Pascanu
et al., 2013); a gradient that is not finite is replaced by zero, so that one broken batch is
skipped and not spread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.optim.optimizer import Optimizer

from thalweg.interventions.intervention import Intervention, InterventionError


@dataclass
class Clipping(Intervention):
    """Clip the global norm of the gradient at ``norm``."""

    kind: ClassVar[str] = "clipping"
    norm: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.norm < math.inf:
            raise InterventionError(f"clipping: norm={self.norm}: it must be positive and finite")

    def gradients(
        self, leaves: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor | None]
    ) -> Sequence[torch.Tensor | None]:
        """Clip the gradient of an update made by hand."""
        there = [one for one in gradients if one is not None]
        factor = self._factor(there)
        return [None if one is None else _scaled(one, factor) for one in gradients]

    @torch.no_grad()
    def before_step(self, optimizer: Optimizer | None) -> None:
        """Clip the gradient."""
        if optimizer is None:
            return
        params = [p for group in optimizer.param_groups for p in group["params"]]
        there = [p.grad for p in params if p.grad is not None and not p.grad.is_sparse]
        factor = self._factor(there)
        if factor < 1.0:
            for gradient in there:  # in place, as PyTorch's own clipping does
                gradient.copy_(_scaled(gradient.detach(), factor))

    def _factor(self, gradients: Sequence[torch.Tensor]) -> float:
        norms = [float(g.detach().norm()) for g in gradients]
        if not all(math.isfinite(one) for one in norms):
            return 0.0
        norm = math.sqrt(sum(one * one for one in norms))
        return min(1.0, self.norm / norm) if norm else 1.0

    def name(self) -> str:
        """A few words for a table."""
        return f"clipping at {self.norm:g}"

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        return f"Clip the global norm of the gradient at {self.norm:g} before each step."

    def edit(self) -> str:
        """A line of code."""
        return f"torch.nn.utils.clip_grad_norm_(model.parameters(), {self.norm:g})"


def _scaled(gradient: torch.Tensor, factor: float) -> torch.Tensor:
    return gradient * factor if factor else torch.zeros_like(gradient)
