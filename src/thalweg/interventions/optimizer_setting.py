"""Another value for a setting of the script's own optimizer.

What it changes: the setting in every parameter group that has it, from the first update on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch.optim.optimizer import Optimizer

from thalweg.interventions.intervention import Intervention


@dataclass
class OptimizerSetting(Intervention):
    """Use these ``settings`` (name to value) instead of the script's."""

    kind: ClassVar[str] = "optimizer-setting"
    settings: dict[str, Any] = field(default_factory=dict)

    def before_step(self, optimizer: Optimizer | None) -> None:
        """Set the values."""
        for group in [] if optimizer is None else optimizer.param_groups:
            for name, value in self.settings.items():
                if name in group:
                    group[name] = tuple(value) if isinstance(value, list) else value

    def name(self) -> str:
        """A few words for a table."""
        return " and ".join(f"{name}={value}" for name, value in self.settings.items())

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        return f"Use the optimizer with {self.name()}."

    def edit(self) -> str:
        """A line of code."""
        return ", ".join(f"{name}={value}" for name, value in self.settings.items())
