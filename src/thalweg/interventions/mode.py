"""The right mode: evaluation without dropout and with running statistics, training with its own.

What it changes, by ``where``: ``evaluation`` computes every dropout and batch normalization that is
called with gradients off as in evaluation mode; ``training`` computes those called with gradients
on as in training mode.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from thalweg.interventions.intervention import Intervention, InterventionError
from thalweg.interventions.regularization import DROPOUTS
from thalweg.recorder.anatomy import plain
from thalweg.recorder.session import Call

# Position of the flag among the arguments, for calls that do not name it.
FLAG = {"batch_norm": ("training", 5), **dict.fromkeys(DROPOUTS, ("training", 2))}


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
        name = plain(call.name)
        if name not in FLAG or torch.is_grad_enabled() != (self.where == "training"):
            return
        set_flag(call, *FLAG[name], self.where == "training")

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


def set_flag(call: Call, name: str, position: int, value: Any) -> None:
    """Give a call's argument another value, wherever it stands."""
    if len(call.args) > position:
        call.args = (*call.args[:position], value, *call.args[position + 1 :])
    else:
        call.kwargs = call.kwargs | {name: value}


def flag(call: Call, name: str, position: int, default: Any) -> Any:
    """The value of a call's argument, wherever it stands."""
    return call.args[position] if len(call.args) > position else call.kwargs.get(name, default)
