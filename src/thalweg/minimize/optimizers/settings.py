"""Checks of the settings that all these optimizers have."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

# Evaluations that a step may take at least, where `max_eval` is not given.
FEWEST = 25


def check_settings(call: str, settings: Mapping[str, Any]) -> None:
    """Raise ValueError unless the settings of a group make sense."""
    lr = settings["lr"]
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError(f"{call}(lr=...): a Tensor lr must be 1-element; got {lr.numel()}.")
    if not 0 <= lr < math.inf:
        raise ValueError(f"{call}(lr={lr}): invalid learning rate; give a number of at least 0.")
    for name in ("max_iter", "max_eval"):
        if not settings[name] >= 1:
            raise ValueError(f"{call}({name}={settings[name]}): give at least 1.")
    for name in ("tolerance_grad", "tolerance_change"):
        if not 0 <= settings[name] < 1:
            raise ValueError(
                f"{call}({name}={settings[name]}): tolerances are shares of the first gradient and "
                "of the parameters' length; give a number from 0 to below 1."
            )


def check_groups(call: str, groups: Sequence[Mapping[str, Any]]) -> None:
    """Raise ValueError unless all groups have the settings of the first.

    A method takes one step for all parameters: a direction whose parts were lengthened one by one
    need not lead down.
    """
    first, *others = groups
    for group in others:
        for name, value in first.items():
            if name not in ("params", "param_names", "initial_lr") and group.get(name) != value:
                raise ValueError(
                    f"{call}: a param group has {name}={group.get(name)!r}, another {value!r}. Its "
                    f"step is one for all parameters: give every group the same {name}; to hold a "
                    "group still, set requires_grad_(False) on its parameters."
                )


def evaluations(max_iter: int, max_eval: int | None) -> int:
    """How many evaluations a step may take; where nobody says, PyTorch's 5/4 or some more."""
    return max(max_iter * 5 // 4, FEWEST) if max_eval is None else max_eval
