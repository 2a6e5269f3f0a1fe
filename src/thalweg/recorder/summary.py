"""What can be said of a run as a whole, as plain data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.optim.optimizer import Optimizer

from thalweg.recorder.leaves import trained_by
from thalweg.recorder.names import Names


def of_optimizer(optimizer: Optimizer) -> dict[str, Any]:
    """Its kind, the settings of its first group, and how many groups it has."""
    settings: dict[str, Any] = {
        key: value if isinstance(value, int | float | bool | str | None) else str(value)
        for key, value in optimizer.param_groups[0].items()
        if key not in ("params", "param_names")
    }
    betas = optimizer.param_groups[0].get("betas")
    if isinstance(betas, tuple | list):
        settings["betas"] = [float(b) for b in betas]
    return {
        "kind": type(optimizer).__name__,
        "settings": {key: _strict(value) for key, value in settings.items()},
        "groups": len(optimizer.param_groups),
    }


def _strict(value: Any) -> Any:
    """JSON knows no infinity."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def of_parameters(
    leaves: Sequence[torch.Tensor], names: Names, optimizers: Sequence[Optimizer]
) -> dict[str, Any]:
    """How many numbers there are to train, and which of them nobody does.

    ``untrained`` parameters have a gradient and no optimizer; ``unreached`` ones have an optimizer
    and never a gradient.
    """
    own, known = trained_by(optimizers), {id(leaf) for leaf in leaves}
    trained = {id(p) for p in own}
    untrained = [one for one in leaves if id(one) not in trained]
    unreached = [p for p in own if id(p) not in known and p.grad is None]
    return {
        "untrained": names.of(untrained) if optimizers else [],
        "unreached": names.of(unreached) if leaves else [],
        "parameters": sum(leaf.numel() for leaf in leaves),
        "device": str(leaves[0].device) if leaves else "cpu",
    }
