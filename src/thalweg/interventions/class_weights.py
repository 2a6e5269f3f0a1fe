"""Classes weighted so that each counts the same in the loss.

What it changes: ``cross_entropy`` and ``nll_loss`` on class indices get the ``weight`` given for
each class; ``binary_cross_entropy_with_logits`` gets ``pos_weight``, the share of negatives over
that of positives. Calls that have weights of their own keep them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch

from thalweg.interventions.intervention import Intervention
from thalweg.recorder.anatomy import plain
from thalweg.recorder.session import Call


@dataclass
class ClassWeights(Intervention):
    """Weight class i by ``weights[i]`` (two classes: their ratio is the positives' weight)."""

    kind: ClassVar[str] = "class-weights"
    changes_loss: ClassVar[bool] = True
    weights: list[float] = field(default_factory=list)

    def rewrite(self, call: Call) -> None:
        """Add the weights to a training loss."""
        name = plain(call.name)
        if not torch.is_grad_enabled() or not call.args or not self.weights:
            return
        outputs = call.args[0]
        if name in ("cross_entropy", "nll_loss"):
            fits = outputs.dim() >= 2 and outputs.shape[1] == len(self.weights)
            _give(call, "weight", 2, outputs.new_tensor(self.weights) if fits else None)
        elif name == "binary_cross_entropy_with_logits" and len(self.weights) == 2:
            ratio = outputs.new_tensor(self.weights[1] / self.weights[0])
            _give(call, "pos_weight", 6, ratio)

    def name(self) -> str:
        """A few words for a table."""
        return "weighted classes"

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        return "Weight the classes in the loss by the inverse of how often they occur."

    def edit(self) -> str:
        """A line of code."""
        if len(self.weights) == 2:
            return "nn.BCEWithLogitsLoss(pos_weight=(1 - y).sum() / y.sum())"
        return "nn.CrossEntropyLoss(weight=1 / counts)"


def _give(call: Call, name: str, position: int, value: torch.Tensor | None) -> None:
    """Add an argument to a call that was given none."""
    given = call.args[position] if len(call.args) > position else call.kwargs.get(name)
    if value is None or given is not None:
        return
    if len(call.args) > position:
        call.args = (*call.args[:position], value, *call.args[position + 1 :])
    else:
        call.kwargs = call.kwargs | {name: value}
