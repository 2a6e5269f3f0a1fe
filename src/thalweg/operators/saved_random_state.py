"""The random state of a program as plain data, which a safe load (`weights_only=True`) can read."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

CUDA: Any = torch.cuda  # its functions have no types


def random_state() -> dict[str, Any]:
    """The state of PyTorch's, NumPy's and Python's generators; nothing is drawn."""
    kind, keys, *rest = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": CUDA.get_rng_state_all() if CUDA.is_initialized() else [],
        "numpy": [str(kind), torch.from_numpy(np.array(keys, dtype=np.int64)), *map(float, rest)],
        "python": random.getstate(),
    }


def restore_random(state: Mapping[str, Any]) -> None:
    """Put every generator where it was; `state` is what `random_state` gave."""
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        CUDA.set_rng_state_all(state["cuda"])
    kind, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state(
        (kind, keys.numpy().astype(np.uint32), int(position), int(has_gauss), gauss)
    )
    version, words, gauss_next = state["python"]
    random.setstate((version, tuple(words), gauss_next))
