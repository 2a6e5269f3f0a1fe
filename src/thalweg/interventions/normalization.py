"""Normalization layers inserted: every hidden layer's output gets zero mean and unit variance.

What it changes: the results of the hidden layers, by their position in the forward pass, are
normalized over the features of each example (Ba, Kiros & Hinton, Layer normalization, 2016), over
channels and space of an image, without trained scale and shift, so that no parameter is added.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from thalweg.interventions.forward_pass import ForwardPass, trained_weight
from thalweg.interventions.intervention import Intervention
from thalweg.recorder.anatomy import RECURRENT, plain
from thalweg.recorder.session import Call


@dataclass
class Normalization(Intervention):
    """Normalize at some ``positions`` of a forward pass that calls ``period`` layers."""

    kind: ClassVar[str] = "normalization"
    positions: list[int] = field(default_factory=list)
    period: int = 1

    def __post_init__(self) -> None:
        self._pass = ForwardPass(self.period)

    def rewrite(self, call: Call) -> None:
        """Normalize what the layer gives."""
        self._pass.begin_at(call)
        if trained_weight(call) is None or self._pass.next() not in self.positions:
            return
        if plain(call.name) not in RECURRENT:
            call.func = _normalized(call.func)

    def name(self) -> str:
        """A few words for a table."""
        return "layer normalization"

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        return "Put a normalization layer after each hidden layer."

    def edit(self) -> str:
        """A line of code."""
        return "nn.LayerNorm(width)"


def _normalized(func: Callable[..., Any]) -> Callable[..., Any]:
    def compute(*args: Any, **kwargs: Any) -> Any:
        result = func(*args, **kwargs)
        if not isinstance(result, torch.Tensor) or result.dim() < 2 or result.shape[-1] < 2:
            return result
        shape = result.shape[1:] if result.dim() == 4 else result.shape[-1:]
        return torch.nn.functional.layer_norm(result, shape)

    return compute
