"""What a person can do about a script that fails in a trial for want of something outside it."""

from __future__ import annotations

from thalweg.trials.trial import Outcome

_ASKS = "EOFError"
_NO_GPU = (
    "Torch not compiled with CUDA",
    "No CUDA GPUs are available",
    "Found no NVIDIA driver",
    "no CUDA-capable device",
    "No HIP GPUs are available",
    "MPS backend is not",
)


def advice(outcome: Outcome) -> str:
    """One line about an outcome that is ``crashed``; empty where its reason says it all."""
    if outcome.reason.startswith(_ASKS):
        return "it asks for input, and a trial has none to give; take the answer as an argument"
    if any(words in outcome.reason for words in _NO_GPU):
        return "it needs a GPU, and PyTorch finds none here; let the script fall back to the CPU"
    return ""
