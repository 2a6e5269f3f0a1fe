"""Another optimizer: every update is made by it, over the same parameter groups.

What it changes: the ``step`` of each optimizer that the script constructs is answered by one of
Thalweg's. Its learning rate follows the script's schedule (the ratio of a group's rate to its first
one) and its weight decay is the script's, so that only the update rule changes. What the script
saves is its own optimizer's state.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MethodType
from typing import Any, ClassVar

import torch
from torch.optim.optimizer import Optimizer

from thalweg.interventions.intervention import Intervention, InterventionError
from thalweg.optim import OPTIMIZERS
from thalweg.recorder.session import Session


@dataclass
class OptimizerSwap(Intervention):
    """Replace the optimizer by ``name`` at learning rate ``lr`` (its own default if not given)."""

    kind: ClassVar[str] = "optimizer"
    name_: str = ""
    lr: float | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name_ not in OPTIMIZERS:
            raise InterventionError(
                f"optimizer: there is no {self.name_!r}; choose one of {', '.join(sorted(OPTIMIZERS))}"
            )

    @classmethod
    def make(cls, data: dict[str, Any]) -> OptimizerSwap:
        """The intervention that the data describes."""
        data = dict(data)
        return super().make({"name_": data.pop("name", ""), **data})

    def as_data(self) -> dict[str, Any]:
        """Plain data."""
        data: dict[str, Any] = {"kind": self.kind, "name": self.name_}
        return data | ({"lr": self.lr} if self.lr else {}) | (
            {"settings": self.settings} if self.settings else {}
        )

    def started(self, session: Session) -> None:
        """Remember whose optimizers to replace."""
        self._session = session

    def optimizer_made(self, optimizer: Optimizer) -> None:
        """Answer this optimizer's steps from now on."""
        made: list[Optimizer] = []

        def step(own: Optimizer, closure: Any = None) -> Any:
            if not made:
                made.append(self._stand_in(own))
            self._follow_schedule(own, made[0])
            return made[0].step(closure) if closure is not None else made[0].step()

        optimizer.step = MethodType(step, optimizer)  # type: ignore[method-assign]

    def _stand_in(self, own: Optimizer) -> Optimizer:
        groups = [
            {"params": group["params"], "weight_decay": group.get("weight_decay", 0.0)}
            for group in own.param_groups
        ]
        options = dict(self.settings) | ({"lr": self.lr} if self.lr else {})
        with self._session.standing_in(own) as stand:
            made = OPTIMIZERS[self.name_](groups, **options)
            stand(made)
        self._first = [_rate(group) for group in own.param_groups]
        self._own = [_rate(group) for group in made.param_groups]
        return made

    def _follow_schedule(self, own: Optimizer, stand_in: Optimizer) -> None:
        rows = zip(own.param_groups, stand_in.param_groups, self._first, self._own, strict=False)
        for group, other, first, rate in rows:
            other["lr"] = rate * (_rate(group) / first if first else 1.0)

    def name(self) -> str:
        """A few words for a table."""
        return self.name_ + (f" at {self.lr:g}" if self.lr else "")

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        rate = f" with a learning rate of {self.lr:g}" if self.lr else ""
        return f"Use {OPTIMIZERS[self.name_].__name__}{rate}."

    def edit(self) -> str:
        """A line of code."""
        rate = f", lr={self.lr:g}" if self.lr else ""
        return f"torch.optim.{OPTIMIZERS[self.name_].__name__}(model.parameters(){rate})"


def _rate(group: dict[str, Any]) -> float:
    rate = group.get("initial_lr", group.get("lr", 1.0)) if "lr" in group else 1.0
    rate = group.get("lr", rate)
    return float(rate.item()) if isinstance(rate, torch.Tensor) else float(rate)
