"""Lookahead around any optimizer: slow weights follow it every k steps, and it starts from them.

For a rule of ours the wrapper `lookahead` does the same inside the engine's pass.

Convention: the inner optimizer's state is kept at the jump. The slow weights and the count stand in
its `state` beside its own, so that its `state_dict` carries them.

Reference: Zhang, Lucas, Hinton & Ba (2019), arXiv 1907.08610, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from thalweg.optim.companions.around import Around

SLOW, COUNT = "slow_param", "lookahead_step"


class Lookahead(Around):
    """`Lookahead(optimizer, k=5, alpha=0.5)` steps as the optimizer does, and looks back every k.

    Args:
        optimizer: walks.
        k: how many of its steps to one of the slow weights.
        alpha: how much of the way the slow weights follow, in [0, 1].

    Raises:
        ValueError: k below 1, or alpha outside [0, 1].
        TypeError: the first argument is no optimizer.
    """

    own = ("k", "alpha")

    def __init__(self, optimizer: Optimizer, k: int = 5, alpha: float = 0.5) -> None:
        if k < 1 or k != int(k):
            raise ValueError(f"Lookahead(k={k}): k must be a whole number >= 1.")
        if not 0 <= alpha <= 1:
            raise ValueError(f"Lookahead(alpha={alpha}): alpha must be in [0, 1].")
        super().__init__(optimizer)
        self.k, self.alpha = k, alpha

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of the inner optimizer; after every k-th, one of the slow weights."""
        params = [p for group in self.param_groups for p in group["params"]]
        # Not in `state` before the first step: PyTorch's optimizers start theirs where it is empty.
        starts = {
            p: p.detach().clone()
            for p in params
            if SLOW not in self.state.get(p, {}) and (closure or p.grad is not None)
        }
        loss = self.optimizer.step(closure)
        for p in params:
            if p.grad is not None:
                self._follow(p, starts)
        return loss

    def _follow(self, p: Tensor, starts: dict[Tensor, Tensor]) -> None:
        own = self.state[p]
        if p in starts:
            own[SLOW], own[COUNT] = starts[p], 0
        own[COUNT] = (own[COUNT] + 1) % self.k
        if own[COUNT] == 0:
            own[SLOW].lerp_(p, self.alpha)
            p.copy_(own[SLOW])
