"""Which call is the training loss, and where its targets stand."""

from __future__ import annotations

import torch

from thalweg.recorder.anatomy import plain
from thalweg.recorder.readings import LOSSES, SUBTRACTIONS
from thalweg.recorder.session import Call


def targets_of(call: Call) -> tuple[int | str, torch.Tensor] | None:
    """Place and value of the targets that a training loss, or a difference by hand, is given.

    They are the one of two tensors that no gradient flows to; None if the call is no such loss.
    """
    name = plain(call.name)
    if not torch.is_grad_enabled() or name not in LOSSES | SUBTRACTIONS:
        return None
    places: list[int | str] = [0, 1, "input", "target"]
    given = [(at, value) for at in places if (value := _at(call, at)) is not None]
    if len(given) != 2 or given[0][1].requires_grad == given[1][1].requires_grad:
        return None
    return given[1] if given[0][1].requires_grad else given[0]


def put(call: Call, place: int | str, value: torch.Tensor) -> None:
    """Give the call another value there."""
    if isinstance(place, str):
        call.kwargs = call.kwargs | {place: value}
    else:
        call.args = (*call.args[:place], value, *call.args[place + 1 :])


def _at(call: Call, place: int | str) -> torch.Tensor | None:
    if isinstance(place, str):
        value = call.kwargs.get(place)
    else:
        value = call.args[place] if len(call.args) > place else None
    return value if isinstance(value, torch.Tensor) and value.numel() > 1 else None
