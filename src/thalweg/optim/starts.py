"""How state starts, where it does not start at zero; and how state that is a number is read."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def filled(p: Tensor, value: Any) -> Tensor:
    """A tensor like p that holds one number, for a complex p in both of its parts."""
    number = float(value)
    return torch.full_like(p, complex(number, number) if p.is_complex() else number)


def scalar(value: Any) -> Tensor:
    """A 0-d tensor on the CPU, of the type in which PyTorch keeps the scalars of its optimizers."""
    double = torch.get_default_dtype() == torch.float64
    return torch.tensor(float(value), dtype=torch.float64 if double else torch.float32)


def number(x: Any) -> Any:
    """State that is one number as a float; `float(x)` is as right, but takes longer at each step.

    It is then known only for one step what became of it, and the formula is run anew at the next.
    """
    return x if isinstance(x, float) else x.item() if hasattr(x, "item") else float(x)
