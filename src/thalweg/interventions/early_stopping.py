"""Early stopping: no update after a given one.

What it changes: from the step on, the gradients are taken away before each update and the weight
decay with them, so that the parameters stay where they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch.optim.optimizer import Optimizer

from thalweg.interventions.intervention import Intervention, InterventionError
from thalweg.recorder.session import Session


@dataclass
class EarlyStopping(Intervention):
    """Make the first ``step`` updates and no more."""

    kind: ClassVar[str] = "early-stopping"
    step: int = 1
    _taken: list[tuple[torch.Tensor, torch.Tensor | None]] = field(
        default_factory=list, init=False, repr=False
    )

    def __post_init__(self) -> None:
        if self.step < 1:
            raise InterventionError(f"early-stopping: step={self.step}: give at least 1")

    def as_data(self) -> dict[str, Any]:
        """Plain data."""
        return {"kind": self.kind, "step": self.step}

    def started(self, session: Session) -> None:
        """Remember whose steps to count."""
        self._session = session

    def gradients(
        self, leaves: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor | None]
    ) -> Sequence[torch.Tensor | None]:
        """Take the gradients of an update made by hand away."""
        if self._session.step_of(None) < self.step:
            return gradients
        return [None if one is None else torch.zeros_like(one) for one in gradients]

    def before_step(self, optimizer: Optimizer | None) -> None:
        """Take the gradients away: an optimizer leaves parameters without a gradient alone."""
        if optimizer is None or self._session.step_of(optimizer) < self.step:
            return
        params = [p for group in optimizer.param_groups for p in group["params"]]
        self._taken = [(p, p.grad) for p in params]
        for p in params:
            p.grad = None

    def after_step(self, optimizer: Optimizer | None) -> None:
        """Give them back."""
        for parameter, gradient in self._taken:
            parameter.grad = gradient
        self._taken = []

    def name(self) -> str:
        """A few words for a table."""
        return f"stopped after {self.step} steps"

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        return f"Stop when the held-out value has been best: here after about {self.step} steps."

    def edit(self) -> str:
        """A line of code."""
        return "if held_out < best: best, state = held_out, copy.deepcopy(model.state_dict())"
