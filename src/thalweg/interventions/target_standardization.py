"""Standardized targets: the network predicts them in units of their own spread, from their mean.

What it changes: what the last layer gives is multiplied by the targets' deviation and their mean is
added, in training and evaluation, and the gradients are divided by the deviation to the ``power``
with which the loss counts it (2 for squared errors). That is the same as training on standardized
targets and scaling the predictions back, while the script's losses and errors keep their units.

Targets whose columns are of different kinds have a mean and a deviation for each. Outputs that are
put together from several last layers (one head for each column) are scaled where that happens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
import torch

from thalweg.interventions.forward_pass import ForwardPass, trained_weight
from thalweg.interventions.intervention import Intervention, InterventionError
from thalweg.interventions.loss_gradient import LossGradient
from thalweg.recorder.anatomy import plain
from thalweg.recorder.session import Call

Moment = float | list[float]


@dataclass
class TargetStandardization(Intervention):
    """Predict targets of this ``mean`` and ``std``, one number or one for each column.

    Attributes:
        position: The layer that predicts.
        period: How many layers a forward pass has.
        power: With which the loss counts the scale of an error.
        joined_by: The call behind that layer that puts the outputs together; None if none does.
    """

    kind: ClassVar[str] = "target-standardization"
    changes_loss: ClassVar[bool] = True
    mean: Moment = 0.0
    std: Moment = 1.0
    position: int = 0
    period: int = 1
    power: int = 2
    joined_by: str | None = None

    def __post_init__(self) -> None:
        if not _fit(self.mean, self.std):
            raise InterventionError(
                f"target-standardization: mean={self.mean}, std={self.std}: give finite numbers, "
                "the deviation positive, or lists of as many"
            )
        self._pass = ForwardPass(self.period)
        own = 1.0 if isinstance(self.std, list) else self.std  # columns' factors differ
        self._gradient = LossGradient(own**-self.power)
        self._predicted = False

    @property
    def by_column(self) -> bool:
        """Whether each column has a mean and a deviation of its own."""
        return isinstance(self.std, list)

    def rewrite(self, call: Call) -> None:
        """Give the predictions the targets' scale."""
        self._pass.begin_at(call)
        if trained_weight(call) is not None:
            self._predicted = self._pass.next() == self.position
            if self._predicted and self.joined_by is None:
                call.func = self._scaled(call.func)
        elif self._predicted and plain(call.name) == self.joined_by:
            self._predicted = False
            call.func = self._scaled(call.func)

    def _scaled(self, func: Callable[..., Any]) -> Callable[..., Any]:
        if isinstance(self.mean, list) and isinstance(self.std, list):
            return _affine_by_column(func, self.mean, self.std, self.power)
        return _affine(func, cast(float, self.mean), cast(float, self.std))

    def before_backward(self, loss: torch.Tensor) -> None:
        """Take the scale out of the gradients."""
        self._gradient.begin(loss)

    def after_backward(self, loss: torch.Tensor) -> None:
        """Leave the loss as it was."""
        self._gradient.end()

    def name(self) -> str:
        """A few words for a table."""
        return "standardized columns of targets" if self.by_column else "standardized targets"

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        if isinstance(self.mean, list):
            return (
                "Train on targets of which each column is standardized by its own training mean "
                "and deviation, and scale the predictions back."
            )
        return (
            f"Train on standardized targets, (y - {self.mean:.4g}) / {self.std:.4g}, and scale the "
            "predictions back."
        )

    def edit(self) -> str:
        """A line of code."""
        if self.by_column:
            return "target = (y - y_train.mean(0)) / y_train.std(0)"
        return "target = (y - y_train.mean()) / y_train.std()"


def _fit(mean: Moment, std: Moment) -> bool:
    """Whether these are finite numbers of one shape, the deviations positive."""
    try:
        means, stds = np.asarray(mean, dtype=float), np.asarray(std, dtype=float)
    except (TypeError, ValueError):
        return False
    known = means.size > 0 and means.ndim < 2 and means.shape == stds.shape
    return bool(known and np.isfinite(means).all() and np.isfinite(stds).all() and (stds > 0).all())


def _affine(func: Callable[..., Any], mean: float, std: float) -> Callable[..., Any]:
    def compute(*args: Any, **kwargs: Any) -> Any:
        result = func(*args, **kwargs)
        return result * std + mean if isinstance(result, torch.Tensor) else result

    return compute


def _affine_by_column(
    func: Callable[..., Any], mean: list[float], std: list[float], power: int
) -> Callable[..., Any]:
    """``func``, its columns scaled; a gradient arrives divided by the scales to the ``power``.

    Columns are the last axis; results of another width are left alone.
    """

    def compute(*args: Any, **kwargs: Any) -> Any:
        result = func(*args, **kwargs)
        if not isinstance(result, torch.Tensor) or result.shape[-1:] != (len(mean),):
            return result
        means, stds = result.new_tensor(mean), result.new_tensor(std)
        scaled = result * stds + means
        # the value of one, the gradient of the other: no factor of the loss serves all columns
        return scaled.detach() + (scaled - scaled.detach()) * stds**-power

    return compute
