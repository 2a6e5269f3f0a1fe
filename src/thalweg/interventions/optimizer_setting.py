"""Another value for a setting of the script's own optimizer.

What it changes: the setting in every parameter group that has it, during each update.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch.optim.optimizer import Optimizer

from thalweg.interventions.intervention import Intervention, InterventionError


@dataclass
class OptimizerSetting(Intervention):
    """Use these ``settings`` (name to value) instead of the script's."""

    kind: ClassVar[str] = "optimizer-setting"
    settings: dict[str, Any] = field(default_factory=dict)
    _kept: list[tuple[dict[str, Any], dict[str, Any]]] = field(
        default_factory=list, init=False, repr=False
    )

    def __post_init__(self) -> None:
        if not self.settings:
            raise InterventionError("optimizer-setting: settings={}: name at least one setting")

    def as_data(self) -> dict[str, Any]:
        """Plain data."""
        return {"kind": self.kind, "settings": self.settings}

    def before_step(self, optimizer: Optimizer | None) -> None:
        """Set the values."""
        for group in [] if optimizer is None else optimizer.param_groups:
            mine = {name: value for name, value in self.settings.items() if name in group}
            self._kept.append((group, {name: group[name] for name in mine}))
            group.update({k: tuple(v) if isinstance(v, list) else v for k, v in mine.items()})

    def after_step(self, optimizer: Optimizer | None) -> None:
        """Put the script's values back."""
        for group, own in self._kept:
            group.update(own)
        self._kept = []

    def name(self) -> str:
        """A few words for a table."""
        return " and ".join(f"{name}={value}" for name, value in self.settings.items())

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        return f"Use the optimizer with {self.name()}."

    def edit(self) -> str:
        """A line of code."""
        return ", ".join(f"{name}={value}" for name, value in self.settings.items())
