"""Another optimizer: every update is made by it, over the same parameter groups.

What it changes: the ``step`` of each optimizer that the script constructs is answered by one of
Thalweg's. Its learning rate follows the script's schedule (the ratio of a group's rate to the one
that its schedule starts from, of one cycle to its peak) and its weight decay is the script's, so
that only the update rule changes. What the script saves is its own optimizer's state.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch.optim.optimizer import Optimizer

from thalweg.interventions.intervention import Intervention, InterventionError
from thalweg.interventions.learning_rate import main_rate
from thalweg.interventions.stand_in import Answering
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
                f"optimizer: there is no {self.name_!r}; choose one of "
                f"{', '.join(sorted(OPTIMIZERS))}"
            )
        try:
            self._make([{"params": [torch.zeros(1, 1, requires_grad=True)]}])
        except (TypeError, ValueError) as error:
            raise InterventionError(f"optimizer: {error}") from None

    @classmethod
    def make(cls, data: dict[str, Any]) -> OptimizerSwap:
        """The intervention that the data describes."""
        data = dict(data)
        return super().make({"name_": data.pop("name", ""), **data})

    def as_data(self) -> dict[str, Any]:
        """Plain data."""
        data: dict[str, Any] = {"kind": self.kind, "name": self.name_}
        return (
            data
            | ({"lr": self.lr} if self.lr else {})
            | ({"settings": self.settings} if self.settings else {})
        )

    def started(self, session: Session) -> None:
        """Remember whose optimizers to replace."""
        self._answering = Answering(session, self._stand_in)

    def finished(self) -> None:
        """Leave the optimizers to themselves again."""
        self._answering.end()

    def optimizer_made(self, optimizer: Optimizer) -> None:
        """Answer this optimizer's steps from now on."""
        self._answering.answer(optimizer)

    def _make(self, groups: list[dict[str, Any]]) -> Optimizer:
        rate: dict[str, Any] = {} if self.lr is None else {"lr": self.lr}
        return OPTIMIZERS[self.name_](groups, **self.settings | rate)

    def _stand_in(self, own: Optimizer) -> Optimizer:
        made = self._make(_groups(own.param_groups))
        first = [main_rate(group) for group in own.param_groups]
        rates = [float(group["lr"]) for group in made.param_groups]

        def follow(stand_in: Optimizer, args: Any, kwargs: Any) -> None:
            for added in own.param_groups[len(first) :]:
                stand_in.add_param_group(_groups([added])[0])
                first.append(main_rate(added))
                rates.append(float(stand_in.param_groups[-1]["lr"]))
            rows = zip(own.param_groups, stand_in.param_groups, first, rates, strict=True)
            for group, other, start, rate in rows:
                other["params"] = group["params"]
                other["weight_decay"] = group.get("weight_decay", 0.0)
                other["lr"] = rate * (float(group["lr"]) / start if start else 1.0)

        # after the session's own hook: what other interventions do to the script's groups counts
        made.register_step_pre_hook(follow)
        return made

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


def _groups(own: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Groups over the same parameters with the same weight decay."""
    return [
        {"params": group["params"], "weight_decay": group.get("weight_decay", 0.0)} for group in own
    ]
