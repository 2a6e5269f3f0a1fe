"""Another activation at some places of the network.

What it changes: the activations at the given positions (counted through the forward pass of the
recording) compute another function. ``leaky_relu`` passes a gradient everywhere; ``identity`` at
the last position takes an output activation away.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch

from thalweg.interventions.forward_pass import ForwardPass
from thalweg.interventions.intervention import Intervention, InterventionError
from thalweg.recorder.anatomy import ACTIVATIONS, plain
from thalweg.recorder.session import Call

CHOICES = {
    "leaky_relu": lambda x: torch.nn.functional.leaky_relu(x, 0.1),
    "relu": torch.relu,
    "tanh": torch.tanh,
    "gelu": torch.nn.functional.gelu,
    "identity": lambda x: x,
}
EDITS = {"leaky_relu": "nn.LeakyReLU(0.1)", "relu": "nn.ReLU()", "tanh": "nn.Tanh()",
         "gelu": "nn.GELU()", "identity": "nn.Identity()"}  # fmt: skip


@dataclass
class ActivationSwap(Intervention):
    """Compute ``to`` at some ``positions`` of a forward pass that calls ``period`` activations."""

    kind: ClassVar[str] = "activation"
    to: str = "leaky_relu"
    positions: list[int] = field(default_factory=list)
    period: int = 1

    def __post_init__(self) -> None:
        if self.to not in CHOICES:
            raise InterventionError(
                f"activation: to={self.to!r}: choose one of {', '.join(CHOICES)}"
            )
        self._pass = ForwardPass(self.period)

    def rewrite(self, call: Call) -> None:
        """Compute the other function."""
        self._pass.begin_at(call)
        if plain(call.name) in ACTIVATIONS and self._pass.next() in self.positions:
            call.func, call.name = CHOICES[self.to], self.to
            call.args, call.kwargs = call.args[:1] or (call.kwargs["input"],), {}

    def name(self) -> str:
        """A few words for a table."""
        if self.to == "identity":
            return "no output activation" if self._at_the_end else "one activation fewer"
        return f"{self.to} inside"

    @property
    def _at_the_end(self) -> bool:
        return self.period - 1 in self.positions

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        if self.to == "identity" and self._at_the_end:
            return "Leave out the output layer's activation, or take one that reaches the targets."
        if self.to == "identity":
            places = ", ".join(str(at + 1) for at in self.positions)
            return f"Leave out activation {places} (of {self.period} in a forward pass)."
        return f"Use {EDITS[self.to]} as the activation of the hidden layers."

    def edit(self) -> str:
        """A line of code."""
        return EDITS[self.to]
