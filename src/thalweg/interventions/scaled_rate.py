"""What all interventions in the learning rate share: scaled for an update, put back after it.

Schedulers and the script itself go on seeing their own numbers. In a program that updates its
parameters by hand the loss is differentiated times the factor, which for plain descent is the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch.optim.optimizer import Optimizer

from thalweg.interventions.intervention import Intervention
from thalweg.interventions.loss_gradient import LossGradient
from thalweg.recorder.session import Session

Groups = list[dict[str, Any]]


@dataclass
class ScaledRate(Intervention):
    """Base: a subclass says which rates, or by hand which factor, an update gets."""

    _kept: dict[int, list[Any]] = field(default_factory=dict, init=False, repr=False)
    _gradient: LossGradient | None = field(default=None, init=False, repr=False)

    def rates(self, optimizer: Optimizer, groups: Groups) -> list[Any]:
        """The rates of the groups during the update that is about to be made."""
        raise NotImplementedError

    def factor_by_hand(self) -> float:
        """The factor on the next update of a program that has no optimizer."""
        raise NotImplementedError

    def started(self, session: Session) -> None:
        """Remember whose optimizers there are."""
        self._session = session

    def before_backward(self, loss: torch.Tensor) -> None:
        """Scale the gradients of an update made by hand."""
        if not self._session.optimizers:
            self._gradient = LossGradient(self.factor_by_hand())
            self._gradient.begin(loss)

    def after_backward(self, loss: torch.Tensor) -> None:
        """Leave the loss as it was."""
        if self._gradient is not None:
            self._gradient.end()

    def before_step(self, optimizer: Optimizer | None) -> None:
        """Scale the rates."""
        if optimizer is None:
            return
        groups = _with_rate(optimizer)
        self._kept[id(optimizer)] = [group["lr"] for group in groups]
        for group, rate in zip(groups, self.rates(optimizer, groups), strict=True):
            group["lr"] = rate

    def after_step(self, optimizer: Optimizer | None) -> None:
        """Put the rates back."""
        kept = self._kept.pop(id(optimizer), [])
        groups = [] if optimizer is None else _with_rate(optimizer)
        for group, rate in zip(groups, kept, strict=False):
            group["lr"] = rate


def _with_rate(optimizer: Optimizer) -> Groups:
    return [group for group in optimizer.param_groups if "lr" in group]
