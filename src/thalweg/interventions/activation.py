"""Another activation inside the network, its output left as it is.

What it changes: calls of hidden activations (those with a layer after them, by their position in the
forward pass of the recording) compute another function. ``leaky_relu`` passes a gradient everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch

from thalweg.interventions.intervention import Intervention, InterventionError
from thalweg.recorder.anatomy import ACTIVATIONS, plain
from thalweg.recorder.session import Call

CHOICES = {
    "leaky_relu": lambda x: torch.nn.functional.leaky_relu(x, 0.1),
    "relu": torch.relu,
    "tanh": torch.tanh,
    "gelu": torch.nn.functional.gelu,
}
EDITS = {"leaky_relu": "nn.LeakyReLU(0.1)", "relu": "nn.ReLU()", "tanh": "nn.Tanh()",
         "gelu": "nn.GELU()"}  # fmt: skip


@dataclass
class ActivationSwap(Intervention):
    """Compute ``to`` at the hidden positions of a forward pass that calls ``period`` activations."""

    kind: ClassVar[str] = "activation"
    to: str = "leaky_relu"
    hidden: list[int] = field(default_factory=list)
    period: int = 1

    def __post_init__(self) -> None:
        if self.to not in CHOICES:
            raise InterventionError(f"activation: to={self.to!r}: choose one of {', '.join(CHOICES)}")
        self._count = 0

    def rewrite(self, call: Call) -> None:
        """Compute the other function."""
        if plain(call.name) not in ACTIVATIONS:
            return
        position = self._count % max(self.period, 1)
        self._count += 1
        if position in self.hidden:
            call.func, call.name = CHOICES[self.to], self.to
            call.args, call.kwargs = call.args[:1] or (call.kwargs["input"],), {}

    def name(self) -> str:
        """A few words for a table."""
        return f"{self.to} inside"

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        return f"Use {EDITS[self.to]} as the activation of the hidden layers."

    def edit(self) -> str:
        """A line of code."""
        return EDITS[self.to]
