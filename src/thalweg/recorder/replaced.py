"""Functions of PyTorch that are replaced while a session lasts, because no hook shows what they do.

Each function here returns the undoing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch.utils import checkpoint as checkpointing

from thalweg.recorder.modes import Answer, Answering


def replace(owner: Any, name: str, instead: Callable[..., Any]) -> Callable[[], None]:
    """Give a class (a module) another method (function)."""
    old = getattr(owner, name)
    setattr(owner, name, instead)
    return lambda: setattr(owner, name, old)


def watch_scalers(tell: Callable[[torch.Tensor, torch.Tensor], None]) -> Callable[[], None]:
    """Tell which loss a gradient scaler has made which product of."""
    scale = torch.amp.GradScaler.scale

    def scaling(scaler: Any, outputs: Any) -> Any:
        result = scale(scaler, outputs)
        if isinstance(outputs, torch.Tensor) and isinstance(result, torch.Tensor):
            tell(result, outputs)
        return result

    return replace(torch.amp.GradScaler, "scale", scaling)


def watch_backward(
    answer: Callable[[Callable[[], None], torch.Tensor], None],
) -> Callable[[], None]:
    """Let ``answer`` carry out every ``backward`` of a tensor; it is given how, and of which."""
    backward: Callable[..., None] = torch.Tensor.backward

    @functools.wraps(backward)
    def differentiating(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        answer(lambda: backward(tensor, *args, **kwargs), tensor)

    return replace(torch.Tensor, "backward", differentiating)


def repeat_under(repeating: Callable[[], bool], answer: Answer) -> Callable[[], None]:
    """Let ``answer`` compute the calls that a checkpoint repeats amid a backward pass.

    PyTorch's function modes are off there, and what was changed in the forward pass would be
    computed unchanged.
    """
    construct = checkpointing.checkpoint

    def checkpoint(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        def compute(*given: Any, **named: Any) -> Any:
            if not repeating():
                return function(*given, **named)
            with Answering(answer):
                return function(*given, **named)

        return construct(compute, *args, **kwargs)

    return replace(checkpointing, "checkpoint", functools.wraps(construct)(checkpoint))
