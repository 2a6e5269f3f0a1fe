"""Less regularization: weight decay and dropout times a factor.

What it changes: the ``weight_decay`` of every parameter group during an update (put back after it),
and the probability of every dropout call.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch.optim.optimizer import Optimizer

from thalweg.interventions.dropouts import probability
from thalweg.interventions.intervention import Intervention, InterventionError
from thalweg.recorder.session import Call


@dataclass
class Regularization(Intervention):
    """Scale weight decay and dropout by ``factor`` (0 switches them off)."""

    kind: ClassVar[str] = "regularization"
    factor: float = 0.0
    _kept: dict[int, list[Any]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.factor <= 1:
            raise InterventionError(f"regularization: factor={self.factor}: give 0 to 1")

    def as_data(self) -> dict[str, Any]:
        """Plain data."""
        return {"kind": self.kind, "factor": self.factor}

    def rewrite(self, call: Call) -> None:
        """Scale a dropout's probability."""
        place = probability(call)
        if place is not None:
            place.put(call, place.get(call) * self.factor)

    def before_step(self, optimizer: Optimizer | None) -> None:
        """Scale the weight decay."""
        groups = [] if optimizer is None else optimizer.param_groups
        self._kept[id(optimizer)] = [group.get("weight_decay") for group in groups]
        for group in groups:
            if group.get("weight_decay"):
                group["weight_decay"] = group["weight_decay"] * self.factor

    def after_step(self, optimizer: Optimizer | None) -> None:
        """Put the weight decay back."""
        kept = self._kept.pop(id(optimizer), [])
        groups = [] if optimizer is None else optimizer.param_groups
        for group, decay in zip(groups, kept, strict=False):
            if decay is not None:
                group["weight_decay"] = decay

    def name(self) -> str:
        """A few words for a table."""
        return f"regularization x {self.factor:g}"

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        if not self.factor:
            return "Leave out weight decay and dropout, or take far less of them."
        return f"Multiply weight decay and dropout by {self.factor:g}."

    def edit(self) -> str:
        """A line of code."""
        return f"weight_decay={self.factor:g} * weight_decay" if self.factor else "weight_decay=0"
