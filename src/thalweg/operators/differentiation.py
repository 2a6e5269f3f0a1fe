"""Under what circumstances a loss can be differentiated twice, and what to do where it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

# What PyTorch says of an operation without a second, or a forward-mode, derivative.
MISSING = (
    "is not implemented",
    "Double backwards is not supported",
    "does not support it",
    "must implement the jvp",
)
CUDNN = "Double backwards is not supported for CuDNN RNNs"


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """Gradients on, whatever surrounds us, and attention by the kernel with two derivatives."""
    with torch.inference_mode(False), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        yield


@contextmanager
def explained(name: str = "Hessian") -> Iterator[None]:
    """Say what to do where PyTorch has no derivative of an operation.

    Raises:
        NotImplementedError: instead of PyTorch's RuntimeError.
    """
    try:
        yield
    except RuntimeError as error:
        if not any(words in str(error) for words in MISSING):
            raise
        remedy = (
            "Build the operator and take its products under "
            "torch.backends.cudnn.flags(enabled=False)."
            if CUDNN in str(error)
            else "Write it with other operations, take another way (way='reverse' has the fewest "
            "preconditions), or use critical_rate, which takes the loss alone."
        )
        raise NotImplementedError(
            f"{name}: an operation of the loss has no second derivative in PyTorch ({error}). "
            f"{remedy}"
        ) from error
