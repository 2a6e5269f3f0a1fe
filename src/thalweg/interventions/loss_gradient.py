"""A loss differentiated times a factor, without a change to its value.

Every gradient of it comes times that factor, whoever takes it and however it is added up: in an
optimizer, in a closure, by hand.
"""

from __future__ import annotations

from typing import Any

import torch


class LossGradient:
    """Scales the gradients of one backward pass after another."""

    def __init__(self, factor: float) -> None:
        self._factor = factor
        self._hook: Any = None

    def begin(self, loss: torch.Tensor) -> None:
        """The loss is about to be differentiated."""
        watched: Any = loss  # whose hooks have no types
        self._hook = watched.register_hook(lambda gradient: gradient * self._factor)

    def end(self) -> None:
        """It has been: a loss that is differentiated again meets another factor."""
        if self._hook is not None:
            self._hook.remove()
            self._hook = None
