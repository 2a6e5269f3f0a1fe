"""Another learning rate: every rate of every optimizer times a factor, schedules included.

What it changes: just before an update the rates of the parameter groups are scaled, just after it
they are put back, so that schedulers and the script itself see their own numbers. In a program that
updates its parameters by hand the loss is differentiated times the factor, which for plain descent
is the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch.optim.optimizer import Optimizer

from thalweg.interventions.intervention import InterventionError
from thalweg.interventions.scaled_rate import Groups, ScaledRate


@dataclass
class LearningRate(ScaledRate):
    """Scale the learning rate by ``factor``, or set it to ``value``.

    A value is meant for the first group, where its schedule starts (of one cycle: for its peak);
    other groups and steps keep their ratio to it.

    With ``hold`` every group keeps the rate of its first step: no schedule.
    """

    kind: ClassVar[str] = "learning-rate"
    factor: float | None = None
    value: float | None = None
    hold: bool = False
    _factors: dict[int, float] = field(default_factory=dict, init=False, repr=False)
    _firsts: dict[int, list[Any]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        given = self.factor if self.value is None else self.value
        one = (self.factor is None) != (self.value is None)
        if not one or not given or not 0 < given < float("inf"):
            raise InterventionError(
                f"learning-rate: factor={self.factor}, value={self.value}: give one of them, "
                "positive"
            )

    def as_data(self) -> dict[str, Any]:
        """Plain data."""
        given = {"factor": self.factor, "value": self.value}
        data = {"kind": self.kind} | {k: v for k, v in given.items() if v is not None}
        return data | ({"hold": True} if self.hold else {})

    def factor_by_hand(self) -> float:
        """The factor, if one was given."""
        if self.factor is None:
            raise InterventionError(
                "learning-rate: value needs an optimizer; this script updates its parameters by "
                "hand, where only a factor can be applied"
            )
        return self.factor

    def rates(self, optimizer: Optimizer, groups: Groups) -> list[Any]:
        """Each group's rate, or the one that it began with, times the factor."""
        factor = self._factor(optimizer, groups)
        firsts = self._firsts.setdefault(id(optimizer), [group["lr"] for group in groups])
        own = [group["lr"] for group in groups]
        held = [*firsts, *own[len(firsts) :]] if self.hold else own
        return [rate * factor for rate in held]

    def _factor(self, optimizer: Optimizer, groups: Groups) -> float:
        if self.factor is not None:
            return self.factor
        if id(optimizer) not in self._factors:
            first = main_rate(groups[0]) if groups else 1.0
            self._factors[id(optimizer)] = (self.value or 0.0) / first if first else 1.0
        return self._factors[id(optimizer)]

    def name(self) -> str:
        """A few words for a table."""
        held = ", held" if self.hold else ""
        if self.hold and self.factor == 1:
            return "learning rate held"
        how = f"x {self.factor:g}" if self.factor else f"{self.value:g}"
        return f"learning rate {how}{held}"

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        if self.hold and self.factor == 1:
            return "Keep the learning rate at its first value: no schedule, or one stepped rarely."
        if self.factor is None:
            return f"Set the learning rate to {self.value:g}."
        return f"Multiply the learning rate by {self.factor:g}."

    def edit(self) -> str:
        """A line of code."""
        if self.hold and self.factor == 1:
            return "# scheduler.step() once an epoch, or not at all"
        return f"lr={self.value:g}" if self.value else f"lr={self.factor:g} * lr"


def main_rate(group: dict[str, Any]) -> float:
    """The rate that a group's schedule starts from, or leads up to where it says so (one cycle)."""
    for name in ("max_lr", "initial_lr", "lr"):
        if name in group:
            return float(group[name])
    return 1.0
