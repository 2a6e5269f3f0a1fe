"""Early stopping: no update after a given one.

What it changes: from the step on, each update is taken back right after it was made, so that the
parameters stay where they were. Buffers, such as running statistics, are the script's own.

Memory: one copy of the parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch.optim.optimizer import Optimizer

from thalweg.interventions.intervention import Intervention, InterventionError
from thalweg.recorder.leaves import trained_by
from thalweg.recorder.session import Session


@dataclass
class EarlyStopping(Intervention):
    """Make the first ``step`` updates and no more."""

    kind: ClassVar[str] = "early-stopping"
    step: int = 1
    _kept: list[tuple[torch.Tensor, torch.Tensor]] = field(
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
        """Keep what the update is about to change."""
        if optimizer is not None and self._session.step_of(optimizer) >= self.step:
            self._kept = [(p, p.detach().clone()) for p in trained_by([optimizer])]

    def after_step(self, optimizer: Optimizer | None) -> None:
        """Take the update back."""
        with torch.no_grad():
            for parameter, value in self._kept:
                parameter.copy_(value)
        self._kept = []

    def name(self) -> str:
        """A few words for a table."""
        return f"stopped after {self.step} steps"

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        return f"Stop when the held-out value has been best: here after about {self.step} steps."

    def edit(self) -> str:
        """A line of code."""
        return "if held_out < best: best, state = held_out, copy.deepcopy(model.state_dict())"
