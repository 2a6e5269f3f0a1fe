"""What hears of a program while its session rests: a few events a step, and nothing besides."""

from __future__ import annotations

from typing import Protocol

import torch
from torch.optim.optimizer import Optimizer


class Quiet(Protocol):
    """Hears of losses and updates. The program's own function modes see what it computes with."""

    def loss(self, loss: torch.Tensor | None) -> None:
        """A tensor, of one number or more, is about to be differentiated by its ``backward``."""

    def before_update(self, optimizer: Optimizer, has_closure: bool) -> None:
        """An optimizer is about to update its parameters, or to ask its closure for the loss."""

    def evaluated(self, optimizer: Optimizer) -> None:
        """An optimizer's closure has evaluated the loss and its gradient."""

    def after_update(self, optimizer: Optimizer) -> None:
        """The parameters have been updated."""
