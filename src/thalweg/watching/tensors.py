"""What a tensor holds, in a few numbers."""

from __future__ import annotations

from typing import Any

import torch

from thalweg.recorder.statistics import summary


def described(name: str, tensor: torch.Tensor) -> dict[str, Any]:
    """Shape, type, range, mean and deviation of the finite entries, and the share of the others."""
    flat = tensor.detach().flatten()
    fine = flat[flat.isfinite()]
    lost = 1.0 - fine.numel() / flat.numel() if flat.numel() else 0.0
    data = summary(fine) | {"shape": list(tensor.shape), "not_finite": lost}
    data.pop("integral", None)
    return {"name": name} | data


def is_finite(tensor: torch.Tensor) -> bool:
    """Whether every entry is; what holds no fractions always is."""
    if tensor.is_sparse:
        tensor = tensor.coalesce().values()
    return bool(tensor.isfinite().all())


def all_finite(tensors: list[torch.Tensor]) -> bool:
    """Whether every entry of every tensor is."""
    return all(is_finite(one) for one in tensors)
