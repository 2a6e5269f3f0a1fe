"""Early stopping: training ends when the true metric on held-out data has not got better for long.

A training algorithm does not halt at a minimum of its surrogate loss; it halts when the measure
that counts stops improving on data that it did not see, and gives back the parameters that were
best. (Goodfellow, Bengio & Courville 2016, algorithm 7.1; Prechelt 1998.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass
class Stopping:
    """The best value so far, when it was, and the parameters then.

    Attributes:
        patience: epochs in a row without a better value after which training stops; None: never.
        higher: whether higher values are better.
        best: the best value; None before the first.
        epoch: when it was, from 1.
        waited: epochs since then.
        kept: the model's state then; None without patience, since nothing will be restored.
    """

    patience: int | None = None
    higher: bool = False
    best: float | None = None
    epoch: int | None = None
    waited: int = 0
    kept: dict[str, Tensor] | None = None

    def __post_init__(self) -> None:
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"fit(patience={self.patience}): give a number of epochs >= 1.")

    @property
    def is_over(self) -> bool:
        """Whether patience is at its end."""
        return self.patience is not None and self.waited >= self.patience

    def take(self, value: float, epoch: int, model: nn.Module) -> None:
        """Note an epoch's value; a value that is not a number is never better."""
        if not self.is_better(value):
            self.waited += 1
            return
        self.best, self.epoch, self.waited = value, epoch, 0
        if self.patience is not None:
            self.kept = copied(model)

    def is_better(self, value: float) -> bool:
        """Whether no value before was as good."""
        if math.isnan(value):
            return False
        return self.best is None or (value > self.best if self.higher else value < self.best)

    def restore(self, model: nn.Module) -> bool:
        """Give the model the parameters that were best, if they are kept."""
        if self.kept is not None:
            model.load_state_dict(self.kept)
        return self.kept is not None

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {name: getattr(self, name) for name in ("best", "epoch", "waited", "kept")}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state that was saved."""
        vars(self).update(state)


@torch.no_grad()
def copied(model: nn.Module) -> dict[str, Tensor]:
    """A copy of the model's state."""
    return {
        name: value.detach().clone() if isinstance(value, Tensor) else value
        for name, value in model.state_dict().items()
    }
