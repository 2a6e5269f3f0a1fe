"""What kind of thing each argument of `fit` is: one that is another is refused before training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer

from thalweg.training.metrics import Accumulated


def check_kinds(arguments: Mapping[str, Any]) -> None:
    """Refuse arguments of another kind, by name; what is None was not given.

    Raises:
        TypeError: one of them; the message says what to give.
    """
    for name, value in arguments.items():
        what, fits = KINDS[name]
        if not fits(value):
            shown = value if isinstance(value, (str, int, float)) else type(value).__name__
            raise TypeError(f"fit({name}={shown!r}): give {what}.")


def check_optimizes(model: nn.Module, optimizer: Optimizer) -> None:
    """Refuse an optimizer of another model.

    Raises:
        ValueError: it moves no parameter of this one.
    """
    own = {id(p) for p in model.parameters()}
    if not any(id(p) in own for group in optimizer.param_groups for p in group["params"]):
        raise ValueError(
            "fit(optimizer=...): it moves no parameter of this model; make it of "
            "model.parameters(), after the model was made."
        )


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "model": ("a torch.nn.Module", lambda x: isinstance(x, nn.Module)),
    "loss": ("a function of outputs and targets", callable),
    "optimizer": (
        "an optimizer of the model's parameters, or what makes one of them, as SGD",
        lambda x: isinstance(x, Optimizer) or callable(x),
    ),
    "metric": (
        "a function of outputs and targets, or an object of torchmetrics",
        lambda x: x is None or callable(x) or isinstance(x, Accumulated),
    ),
    "penalty": ("a function of the model", lambda x: x is None or callable(x)),
    "clip": ("ClipNorm(bound), ClipValue(bound) or a function", lambda x: x is None or callable(x)),
    "scheduler": (
        "a scheduler made of the optimizer, as StepLR(optimizer, 10)",
        lambda x: x is None or (hasattr(x, "step") and not isinstance(x, type)),
    ),
    "patience": ("a whole number of epochs", lambda x: x is None or _is_whole(x)),
    "seed": ("a whole number", lambda x: x is None or _is_whole(x)),
}
