"""The right mode: evaluation without dropout and with running statistics, training with its own.

What it changes, by ``where``: ``evaluation`` computes every dropout and batch normalization that is
called with gradients off as in evaluation mode; ``training`` computes those called with gradients
on as in training mode.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from thalweg.interventions.dropouts import Place, flag
from thalweg.interventions.intervention import Intervention, InterventionError
from thalweg.recorder.anatomy import plain
from thalweg.recorder.session import Call

BATCH_NORM = Place("training", 5, False)


@dataclass
class Mode(Intervention):
    """Compute dropout and batch normalization in the mode that fits ``where`` they are called."""

    kind: ClassVar[str] = "mode"
    where: str = "evaluation"

    def __post_init__(self) -> None:
        if self.where not in ("evaluation", "training"):
            raise InterventionError(f"mode: where={self.where!r}: choose evaluation or training")

    def rewrite(self, call: Call) -> None:
        """Set the flag of the call."""
        if torch.is_grad_enabled() != (self.where == "training"):
            return
        name = plain(call.name)
        place = BATCH_NORM if name == "batch_norm" else flag(call)
        if place is not None:
            place.put(call, self.where == "training")
        elif self.where == "evaluation" and name == "scaled_dot_product_attention":
            Place("dropout_p", 4, 0.0).put(call, 0.0)  # it has a probability and no flag

    def name(self) -> str:
        """A few words for a table."""
        return f"{self.where} mode"

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        if self.where == "evaluation":
            return "Call model.eval() before evaluating (and model.train() before training on)."
        return "Call model.train() before training."

    def edit(self) -> str:
        """A line of code."""
        return "model.eval()" if self.where == "evaluation" else "model.train()"
