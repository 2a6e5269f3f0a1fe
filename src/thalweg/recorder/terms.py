"""The terms of a training loss: what is computed from targets, and what is added to it.

A value is of the data if a loss function of PyTorch made it of outputs and targets, or a difference
of outputs with data, or if it was computed from such a value. A scalar that is added to one, and is
none itself, is a penalty, a prior or an auxiliary term.
"""

from __future__ import annotations

from collections.abc import Container, MutableMapping
from typing import Any

import torch

from thalweg.recorder.anatomy import plain
from thalweg.recorder.chains import SUMS
from thalweg.recorder.readings import LOSSES
from thalweg.recorder.session import Call
from thalweg.recorder.tallies import targets_in


def follow(call: Call, result: Any, of_data: MutableMapping[torch.Tensor, bool]) -> None:
    """Note the result among what is of the data, if it is."""
    if not isinstance(result, torch.Tensor) or not result.requires_grad:
        return
    given = [one for one in (*call.args, *call.kwargs.values()) if isinstance(one, torch.Tensor)]
    if meets_targets(call) or any(one in of_data for one in given):
        of_data[result] = True


def added_term(call: Call, of_data: Container[torch.Tensor]) -> int | None:
    """Which of the two scalars that the call adds is not of the data, where the other one is."""
    if plain(call.name) not in SUMS or len(call.args) < 2:
        return None
    first, second = call.args[:2]
    if not (_is_term(first) and _is_term(second)) or (first in of_data) == (second in of_data):
        return None
    return 1 if first in of_data else 0


def meets_targets(call: Call) -> bool:
    """Whether outputs meet targets here.

    A difference of a parameter with a constant is none (a penalty on how far it went), nor is one
    with equal numbers all over (the mean of a prior).
    """
    targets = targets_in(call)
    if targets is None:
        return False
    if plain(call.name) in LOSSES:
        return True
    given = [one for one in call.args[:2] if isinstance(one, torch.Tensor) and one is not targets]
    return not any(one.is_leaf for one in given) and bool((targets != targets.flatten()[0]).any())


def _is_term(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.numel() == 1 and value.requires_grad
