"""The other sign: every gradient is turned round, so that the loss that rises falls and back.

What it changes: every loss is differentiated times minus one; its value stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from thalweg.interventions.intervention import Intervention
from thalweg.interventions.loss_gradient import LossGradient


@dataclass
class OtherSign(Intervention):
    """Step against the direction that the script steps in."""

    kind: ClassVar[str] = "other-sign"
    changes_loss: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self._gradient = LossGradient(-1.0)

    def before_backward(self, loss: torch.Tensor) -> None:
        """Turn the gradients."""
        self._gradient.begin(loss)

    def after_backward(self, loss: torch.Tensor) -> None:
        """Leave the loss as it was."""
        self._gradient.end()

    def name(self) -> str:
        """A few words for a table."""
        return "the other sign"

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        return "Turn the sign of the loss (or unset maximize): training goes up instead of down."

    def edit(self) -> str:
        """A line of code."""
        return "loss = -objective"
