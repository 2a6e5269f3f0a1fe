"""The other sign: every gradient is turned round, so that the loss that rises falls and back.

What it changes: just before an update the gradients change sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.optim.optimizer import Optimizer

from thalweg.interventions.intervention import Intervention


@dataclass
class OtherSign(Intervention):
    """Step against the direction that the script steps in."""

    kind: ClassVar[str] = "other-sign"

    def gradients(
        self, leaves: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor | None]
    ) -> Sequence[torch.Tensor | None]:
        """Turn the gradients of an update made by hand."""
        return [None if one is None else -one for one in gradients]

    def before_step(self, optimizer: Optimizer | None) -> None:
        """Turn the gradients."""
        groups = [] if optimizer is None else optimizer.param_groups
        for parameter in (p for group in groups for p in group["params"]):
            if parameter.grad is not None:
                parameter.grad = -parameter.grad

    def name(self) -> str:
        """A few words for a table."""
        return "the other sign"

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        return "Turn the sign of the loss (or unset maximize): training goes up instead of down."

    def edit(self) -> str:
        """A line of code."""
        return "loss = -objective"
