"""Learning-rate schedules that PyTorch lacks, as `torch.optim.lr_scheduler.LambdaLR`s.

Both are factors of the groups' own learning rates. The first step is made with the first factor,
which is 1 / warmup: a step at rate zero would be lost.

Reference: Vaswani et al. (2017), eq. 3, for the inverse square root; Hu et al. (2024), MiniCPM,
arXiv 2404.06395, section 4, for warm-up, stable, decay; Hägele et al. (2024), arXiv 2405.18392, for
its form "1-sqrt".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from thalweg.optim.hyperparameters import nearest

# How much is left of 1 when this share of the decay has passed.
SHAPES: Mapping[str, Callable[[float], float]] = {
    "linear": lambda done: 1 - done,
    "1-sqrt": lambda done: 1 - math.sqrt(done),
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
}


@dataclass
class WarmupStableDecay:
    """The factor at each step; see `warmup_stable_decay`."""

    warmup: int
    stable: int
    decay: int
    shape: str
    final: float

    def __call__(self, step: int) -> float:
        """The factor of the step, counted from 0."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        into = step - self.warmup - self.stable
        done = min(max((into + 1) / self.decay if self.decay else float(into >= 0), 0.0), 1.0)
        return self.final + (1 - self.final) * SHAPES[self.shape](done)


@dataclass
class InverseSquareRoot:
    """The factor at each step; see `inverse_square_root`."""

    warmup: int

    def __call__(self, step: int) -> float:
        """The factor of the step, counted from 0."""
        at = (step + 1) / self.warmup
        return min(at, 1 / math.sqrt(at))


def warmup_stable_decay(
    optimizer: Optimizer,
    warmup: int,
    stable: int,
    decay: int,
    *,
    shape: str = "linear",
    final: float = 0.0,
    last_epoch: int = -1,
) -> LambdaLR:
    """Rise for `warmup` steps, stay for `stable`, fall for `decay`; then stay at `final`.

    Args:
        optimizer: whose groups' learning rates are multiplied.
        warmup: steps; the last of them is made at the full rate.
        stable: steps at the full rate.
        decay: steps; the last of them is made at `final`.
        shape: "linear", "1-sqrt" or "cosine".
        final: the factor at the end.
        last_epoch: as in PyTorch's schedulers.

    Raises:
        ValueError: a number of steps below zero, or an unknown shape.
    """
    if min(warmup, stable, decay) < 0:
        raise ValueError(
            f"warmup_stable_decay(warmup={warmup}, stable={stable}, decay={decay}): numbers of "
            "steps must be >= 0."
        )
    if shape not in SHAPES:
        raise ValueError(
            f"warmup_stable_decay(shape={shape!r}): no such shape. {nearest(shape, SHAPES)}"
        )
    factor = WarmupStableDecay(warmup, stable, decay, shape, final)
    return LambdaLR(optimizer, factor, last_epoch)


def inverse_square_root(optimizer: Optimizer, warmup: int, last_epoch: int = -1) -> LambdaLR:
    """Rise for `warmup` steps to the full rate, then fall as 1 / sqrt(step).

    Raises:
        ValueError: `warmup` below 1; the rate is the full one at that step.
    """
    if warmup < 1:
        raise ValueError(f"inverse_square_root(warmup={warmup}): at least 1 step is needed.")
    return LambdaLR(optimizer, InverseSquareRoot(warmup), last_epoch)
