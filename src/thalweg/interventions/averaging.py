"""Averaged iterates: the run ends at the mean of its last parameters, not at the last ones.

What it changes: the parameters after each of the updates ``since`` + 1 to ``steps`` are averaged,
and after the last of them the mean takes the parameters' place (Polyak & Juditsky, Acceleration of
stochastic approximation by averaging, 1992). Training itself is as it was. The number of steps is
that of a run that was watched; running statistics of batch normalization stay the script's own.

Memory: one copy of the parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch.optim.optimizer import Optimizer

from thalweg.interventions.intervention import Intervention, InterventionError
from thalweg.recorder.leaves import trained_by
from thalweg.recorder.session import Session


@dataclass
class Averaging(Intervention):
    """End at the mean of the parameters after update ``since`` of ``steps`` (half by default)."""

    kind: ClassVar[str] = "averaging"
    steps: int = 0
    since: int | None = None

    def __post_init__(self) -> None:
        if self.steps < 2:
            raise InterventionError(f"averaging: steps={self.steps}: give the steps of the run")
        self.since = self.steps // 2 if self.since is None else self.since
        if not 0 <= self.since < self.steps:
            raise InterventionError(
                f"averaging: since={self.since}: give 0 to {self.steps - 1}, of {self.steps} steps"
            )
        self._means: dict[int, torch.Tensor] = {}

    def as_data(self) -> dict[str, Any]:
        """Plain data."""
        return {"kind": self.kind, "steps": self.steps, "since": self.since}

    def started(self, session: Session) -> None:
        """Remember whose steps to count."""
        self._session = session

    def before_step(self, optimizer: Optimizer | None) -> None:
        """Refuse updates whose end cannot be seen."""
        if optimizer is None:
            raise InterventionError(
                "averaging: the script updates its parameters by hand, so that the end of its last "
                "update cannot be seen from outside"
            )

    @torch.no_grad()
    def after_step(self, optimizer: Optimizer | None) -> None:
        """Count the parameters in; at the last update put their mean in their place."""
        made = self._session.step_of(optimizer)
        if optimizer is None or not (self.since or 0) < made <= self.steps:
            return
        count = made - (self.since or 0)
        for parameter in trained_by([optimizer]):
            own = parameter.detach()
            mean = self._means.setdefault(id(parameter), own.clone())
            mean += (own - mean) / count
            if made == self.steps:
                parameter.copy_(mean)

    def name(self) -> str:
        """A few words for a table."""
        return "averaged iterates"

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        return f"Evaluate the mean of the parameters from step {self.since} on, not the last ones."

    def edit(self) -> str:
        """A line of code."""
        return "averaged = torch.optim.swa_utils.AveragedModel(model)  # .update_parameters(model)"
