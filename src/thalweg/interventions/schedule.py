"""A schedule: the learning rate annealed to zero over the steps that the run is known to take.

What it changes: every rate is multiplied, for one update, by a factor that falls from 1 at the
first to 0 after the last of ``steps``: ``cosine`` (Loshchilov & Hutter, SGDR, 2017: half a period)
or ``linear``. The first ``warmup`` updates rise to the full rate in equal parts instead (Goyal et
al., 2017). A schedule of the script's own goes on below it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch.optim.optimizer import Optimizer

from thalweg.interventions.intervention import InterventionError
from thalweg.interventions.scaled_rate import Groups, ScaledRate

SHAPES: dict[str, Callable[[float], float]] = {
    "cosine": lambda part: 0.5 * (1 + math.cos(math.pi * part)),
    "linear": lambda part: 1 - part,
}
EDITS = {
    "cosine": "scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max={})",
    "linear": "scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters={})",
}


@dataclass
class Schedule(ScaledRate):
    """Anneal the rate to zero over so many ``steps``, after a ``warmup``."""

    kind: ClassVar[str] = "schedule"
    steps: int = 0
    shape: str = "cosine"
    warmup: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InterventionError(f"schedule: steps={self.steps}: give the steps of the run")
        if self.shape not in SHAPES:
            raise InterventionError(
                f"schedule: shape={self.shape!r}: choose one of {', '.join(SHAPES)}"
            )
        if not 0 <= self.warmup < self.steps:
            raise InterventionError(
                f"schedule: warmup={self.warmup}: give fewer than the {self.steps} steps"
            )

    def as_data(self) -> dict[str, Any]:
        """Plain data."""
        data = {"kind": self.kind, "steps": self.steps, "shape": self.shape}
        return data | ({"warmup": self.warmup} if self.warmup else {})

    def factor(self, step: int) -> float:
        """On the rate of update number ``step``, from 0."""
        if step < self.warmup:
            return (step + 1) / (self.warmup + 1)
        part = (step - self.warmup) / (self.steps - self.warmup)
        return SHAPES[self.shape](min(part, 1.0))

    def factor_by_hand(self) -> float:
        """That of the step at hand."""
        return self.factor(self._session.step_of(None))

    def rates(self, optimizer: Optimizer, groups: Groups) -> list[Any]:
        """Every rate times the step's factor."""
        factor = self.factor(self._session.step_of(optimizer))
        return [group["lr"] * factor for group in groups]

    def name(self) -> str:
        """A few words for a table."""
        warm = f" after a warmup of {self.warmup}" if self.warmup else ""
        return f"{self.shape} schedule{warm}"

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        warm = f"Raise the learning rate over the first {self.warmup} steps, then lower it"
        begin = warm if self.warmup else "Lower the learning rate"
        along = "along a cosine" if self.shape == "cosine" else "in equal parts"
        return f"{begin} to zero {along} until the run's last step ({self.steps} steps in all)."

    def edit(self) -> str:
        """A line of code."""
        return EDITS[self.shape].format(self.steps)
