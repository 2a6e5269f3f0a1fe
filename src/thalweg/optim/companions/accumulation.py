"""Gradient accumulation: one step for the mean gradient of several batches.

A training loop stays as it is, `zero_grad` before every batch included: each call of `step` takes
the gradients in, and every `every`-th makes the inner optimizer step along their mean, as if the
batches had been one (of equal sizes, without batch norm). `p.grad` stays what the last batch gave.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from thalweg.optim.companions.around import Around

KEY = "accumulation"


class GradientAccumulation(Around):
    """`GradientAccumulation(optimizer, every=4)` steps once for four batches.

    Args:
        optimizer: what steps. Averages and schedulers that count real steps belong to it.
        every: how many batches to a step.

    Raises:
        ValueError: `every` below 1.
        TypeError: the first argument is no optimizer.
    """

    own = ("every", "sums", "batches")

    def __init__(self, optimizer: Optimizer, every: int) -> None:
        if every < 1 or every != int(every):
            raise ValueError(f"GradientAccumulation(every={every}): a whole number >= 1 is needed.")
        super().__init__(optimizer)
        self.every = every
        self.batches = 0  # taken in since the last step
        self.sums: dict[Tensor, Tensor] = {}

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a batch's gradients in; step if it was the last of `every`."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for p in self._params():
            if p.grad is not None and p in self.sums:
                self.sums[p].add_(p.grad)
            elif p.grad is not None:
                self.sums[p] = _wide(p.grad)
        self.batches += 1
        if self.batches == self.every:
            self.flush()
        return loss

    @torch.no_grad()
    def flush(self) -> None:
        """Step along the mean of the batches taken in so far, if any, as at an epoch's end."""
        if not self.batches:
            return
        params = self._params()
        kept = [p.grad for p in params]
        try:
            for p in params:
                mean = self.sums[p] / self.batches if p in self.sums else None
                p.grad = None if mean is None else mean.to(p.dtype)
            self.optimizer.step()
        finally:
            for p, g in zip(params, kept, strict=True):
                p.grad = g
        self.sums, self.batches = {}, 0

    def state_dict(self) -> dict[str, Any]:
        """The inner optimizer's, with what has been taken in."""
        sums = {i: self.sums[p] for i, p in enumerate(self._params()) if p in self.sums}
        return {**self.optimizer.state_dict(), KEY: {"batches": self.batches, "sums": sums}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state saved here, or by the inner optimizer alone."""
        inner = {key: value for key, value in state_dict.items() if key != KEY}
        self.optimizer.load_state_dict(inner)
        taken, params = state_dict.get(KEY, {"batches": 0, "sums": {}}), self._params()
        self.batches = taken["batches"]
        self.sums = {params[i]: x.to(params[i].device, copy=True) for i, x in taken["sums"].items()}

    def _params(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]


def _wide(g: Tensor) -> Tensor:
    """The start of a sum: half-precision gradients are summed in float32."""
    return g.to(torch.promote_types(g.dtype, torch.float32), copy=True)
