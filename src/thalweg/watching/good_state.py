"""The last good state of a run, kept on disk: models, optimizers, random numbers.

A state is written whole or not at all (beside its place, then renamed), and holds nothing but
tensors and plain data, so that it can be loaded without running anyone's code:

    state = torch.load("last-good.pt", weights_only=True)

Which batch would have come next is nowhere to be read, and no part of it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.optimizer import Optimizer

from thalweg.operators.saved_random_state import random_state
from thalweg.watching.roots import names_in
from thalweg.watching.tensors import is_finite


def trained_by_all(optimizers: Sequence[Optimizer]) -> list[torch.Tensor]:
    """Every parameter of these optimizers, each once."""
    found = {id(p): p for o in optimizers for g in o.param_groups for p in g["params"]}
    return list(found.values())


def is_good(optimizers: Sequence[Optimizer]) -> bool:
    """Whether every parameter that is trained is finite."""
    return all(is_finite(one) for one in trained_by_all(optimizers))


def state_of(
    step: int, models: Sequence[nn.Module], optimizers: Sequence[Optimizer]
) -> dict[str, Any]:
    """The state as plain data and tensors; these are the program's own, not copies.

    Returns:
        ``step`` (updates made so far), ``models`` and ``optimizers`` (a ``state_dict`` each),
        ``tensors`` (what is trained and in no module, by name), ``random``.
    """
    inside = {id(p) for one in models for p in one.parameters()}
    bare = [p for p in trained_by_all(optimizers) if id(p) not in inside]
    return {
        "step": step,
        "models": [_plain(one.state_dict()) for one in models],
        "optimizers": [_plain(one.state_dict()) for one in optimizers],
        "tensors": dict(zip(_unique(names_in(models, bare)), map(_plain, bare), strict=True)),
        "random": random_state(),
    }  # fmt: skip


def _unique(names: Sequence[str]) -> list[str]:
    return [name if names.count(name) == 1 else f"{name}#{at}" for at, name in enumerate(names)]


def _plain(part: Any) -> Any:
    """The same with everything that a safe load would refuse put into words."""
    if isinstance(part, Mapping):
        return {key: _plain(value) for key, value in part.items()}
    if isinstance(part, tuple | list):
        return type(part)(map(_plain, part)) if type(part) in (tuple, list) else list(part)
    if isinstance(part, torch.Tensor):
        return part.detach()
    return part if isinstance(part, int | float | complex | bool | str | None) else repr(part)


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state, whole or not at all."""
    partial = path.with_suffix(".part")
    with partial.open("wb") as file:
        torch.save(dict(state), file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def how_to_load(path: Path, models: int, optimizers: int) -> str:
    """The lines that load a state, as a person would write them."""
    lines = [f'state = torch.load("{path}", weights_only=True)']
    for name, count in (("model", models), ("optimizer", optimizers)):
        ends = [""] if count == 1 else list(range(count))
        lines += [f'{name}{e}.load_state_dict(state["{name}s"][{e or 0}])' for e in ends]
    return "\n".join([*lines, 'thalweg.watching.restore_random(state["random"])'])
