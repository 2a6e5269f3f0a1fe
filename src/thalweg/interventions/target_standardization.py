"""Standardized targets: the network predicts them in units of their own spread, from their mean.

What it changes: what the last layer gives is multiplied by the targets' deviation and their mean is
added, in training and evaluation, and the gradients are divided by the deviation to the ``power``
with which the loss counts it (2 for squared errors). That is the same as training on standardized
targets and scaling the predictions back, while the script's losses and errors keep their units.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from thalweg.interventions.forward_pass import ForwardPass, trained_weight
from thalweg.interventions.intervention import Intervention, InterventionError
from thalweg.interventions.loss_gradient import LossGradient
from thalweg.recorder.session import Call


@dataclass
class TargetStandardization(Intervention):
    """Predict targets of this ``mean`` and ``std`` at layer ``position`` of ``period``."""

    kind: ClassVar[str] = "target-standardization"
    changes_loss: ClassVar[bool] = True
    mean: float = 0.0
    std: float = 1.0
    position: int = 0
    period: int = 1
    power: int = 2

    def __post_init__(self) -> None:
        if not (0 < self.std < math.inf and math.isfinite(self.mean)):
            raise InterventionError(
                f"target-standardization: mean={self.mean}, std={self.std}: give finite numbers, "
                "the deviation positive"
            )
        self._pass = ForwardPass(self.period)
        self._gradient = LossGradient(self.std**-self.power)

    def rewrite(self, call: Call) -> None:
        """Give the last layer's result the targets' scale."""
        self._pass.begin_at(call)
        if trained_weight(call) is not None and self._pass.next() == self.position:
            call.func = _affine(call.func, self.mean, self.std)

    def before_backward(self, loss: torch.Tensor) -> None:
        """Take the scale out of the gradients."""
        self._gradient.begin(loss)

    def after_backward(self, loss: torch.Tensor) -> None:
        """Leave the loss as it was."""
        self._gradient.end()

    def name(self) -> str:
        """A few words for a table."""
        return "standardized targets"

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        return (
            f"Train on standardized targets, (y - {self.mean:.4g}) / {self.std:.4g}, and scale the "
            "predictions back."
        )

    def edit(self) -> str:
        """A line of code."""
        return "target = (y - y_train.mean()) / y_train.std()"


def _affine(func: Callable[..., Any], mean: float, std: float) -> Callable[..., Any]:
    def compute(*args: Any, **kwargs: Any) -> Any:
        result = func(*args, **kwargs)
        return result * std + mean if isinstance(result, torch.Tensor) else result

    return compute
