"""Master weights: updates in single precision, the network in its own.

What it changes: for every parameter of half precision a copy in float32 is kept; the optimizer
updates the copy, and the parameter becomes its rounding (Micikevicius et al., Mixed precision
training, 2018).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch.optim.optimizer import Optimizer

from thalweg.interventions.intervention import Intervention

HALF = (torch.float16, torch.bfloat16)


@dataclass
class MasterWeights(Intervention):
    """Give the optimizer float32 copies of the parameters."""

    kind: ClassVar[str] = "master-weights"
    _masters: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(
        default_factory=dict, init=False, repr=False
    )

    def as_data(self) -> dict[str, Any]:
        """Plain data."""
        return {"kind": self.kind}

    def before_step(self, optimizer: Optimizer | None) -> None:
        """Put the copies in the parameters' place."""
        for group in [] if optimizer is None else optimizer.param_groups:
            group["params"] = [self._master(p) for p in group["params"]]

    def after_step(self, optimizer: Optimizer | None) -> None:
        """Round the copies into the parameters, and put those back."""
        own = {id(master): parameter for parameter, master in self._masters.values()}
        for group in [] if optimizer is None else optimizer.param_groups:
            group["params"] = [own.get(id(p), p) for p in group["params"]]
        with torch.no_grad():
            for parameter, master in self._masters.values():
                parameter.copy_(master)
                master.grad = None

    def _master(self, parameter: torch.Tensor) -> torch.Tensor:
        if parameter.dtype not in HALF:
            return parameter
        if id(parameter) not in self._masters:
            copy = parameter.detach().float().requires_grad_()
            self._masters[id(parameter)] = (parameter, copy)
        master = self._masters[id(parameter)][1]
        master.grad = None if parameter.grad is None else parameter.grad.float()
        return master

    def name(self) -> str:
        """A few words for a table."""
        return "float32 master weights"

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        return "Keep the parameters in float32 (autocast for speed): their updates round to zero."

    def edit(self) -> str:
        """A line of code."""
        return "model = model.float()  # and: with torch.autocast(device, torch.bfloat16): ..."
