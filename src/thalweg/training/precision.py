"""Mixed precision: products in 16 bits, parameters and sums in 32.

`torch.autocast` chooses by operation. bfloat16 has the range of float32; float16 has not, so small
gradients would become zero: `GradScaler` scales the loss up, and steps only where nothing
overflowed (Micikevicius et al. 2018, Mixed precision training, sections 3.1 and 3.2).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

from thalweg.optim.hyperparameters import nearest

Precision = Literal["bf16", "fp16"]
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def check_precision(precision: str | None) -> None:
    """Refuse an unknown name.

    Raises:
        ValueError: it is none of `DTYPES`.
    """
    if precision is not None and precision not in DTYPES:
        raise ValueError(f"fit(precision={precision!r}): {nearest(precision, DTYPES)}")


def casting(precision: str | None, device: torch.device) -> AbstractContextManager[object]:
    """The context in which model and loss are computed."""
    if precision is None:
        return nullcontext()
    return torch.autocast(device.type, dtype=DTYPES[precision])


def scaler_for(precision: str | None, device: torch.device) -> torch.amp.GradScaler | None:
    """What scales the loss, where the type needs it."""
    return torch.amp.GradScaler(device.type) if precision == "fp16" else None
