"""Permuted targets: a control that no remedy should pass.

What it changes: the targets of every training batch are dealt out at random among its examples. If
a run under it ends as well as the run as it is, its targets said nothing about the inputs in the
first place: they do not belong to them. Losses that PyTorch computes and differences by hand are
reached. The permutations come from a stream of our own.

Zhang et al., Understanding deep learning requires rethinking generalization (2017).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from thalweg.interventions.intervention import Intervention, InterventionError
from thalweg.interventions.training_loss import put, targets_of
from thalweg.recorder.session import Call


@dataclass
class PermutedTargets(Intervention):
    """Deal the targets of each training batch out at random."""

    kind: ClassVar[str] = "permuted-targets"
    changes_loss: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self._random = torch.Generator().manual_seed(20_263)
        self._done = False

    def as_data(self) -> dict[str, Any]:
        """Plain data."""
        return {"kind": self.kind}

    def rewrite(self, call: Call) -> None:
        """Permute the targets."""
        found = targets_of(call)
        if found is None:
            return
        place, targets = found
        if targets.dim() and len(targets) > 1:
            order = torch.randperm(len(targets), generator=self._random)
            put(call, place, targets[order.to(targets.device)])
            self._done = True

    def before_backward(self, loss: torch.Tensor) -> None:
        """Refuse a script whose targets were not seen."""
        if not self._done:
            raise InterventionError(
                "permuted-targets: no call was seen in which outputs meet targets of a batch"
            )

    def name(self) -> str:
        """A few words for a table."""
        return "permuted targets"

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        return "Compare with targets dealt out at random: a control, not a remedy."
