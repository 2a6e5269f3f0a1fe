"""Clipping: a gradient that is too long is shortened before the step.

The gradient says which way is down, not how far that holds; on a cliff it is huge, and a step along
it leaves for nowhere (Pascanu, Mikolov & Bengio 2013, algorithm 1). PyTorch's functions do it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor
from torch.nn.utils import clip_grad_norm_, clip_grad_value_


@dataclass(frozen=True)
class ClipNorm:
    """Shorten the gradient of all parameters together to `bound`, its direction kept.

    Raises:
        ValueError: a bound that is not positive.
    """

    bound: float

    def __post_init__(self) -> None:
        _check(self)

    def __call__(self, parameters: Iterable[Tensor]) -> None:
        """Clip `p.grad` of each in place."""
        clip_grad_norm_(parameters, self.bound)


@dataclass(frozen=True)
class ClipValue:
    """Bring every element of the gradient into [-bound, bound].

    Raises:
        ValueError: a bound that is not positive.
    """

    bound: float

    def __post_init__(self) -> None:
        _check(self)

    def __call__(self, parameters: Iterable[Tensor]) -> None:
        """Clip `p.grad` of each in place."""
        clip_grad_value_(parameters, self.bound)


def _check(clip: ClipNorm | ClipValue) -> None:
    if not clip.bound > 0:
        raise ValueError(f"{type(clip).__name__}({clip.bound}): give a bound above 0.")
