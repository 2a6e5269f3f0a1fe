"""Training every parameter: what the loss depends on is given to the optimizer.

What it changes: at the first backward pass, leaf tensors that the loss differentiates and no
optimizer has are appended to the first parameter group of the first optimizer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from thalweg.interventions.intervention import Intervention
from thalweg.recorder.leaves import leaves_of, trainable, trained_by
from thalweg.recorder.session import Session


@dataclass
class TrainedParameters(Intervention):
    """Give the optimizer the parameters that it was not given."""

    kind: ClassVar[str] = "trained-parameters"
    _done: bool = field(default=False, init=False)

    def as_data(self) -> dict[str, Any]:
        """Plain data."""
        return {"kind": self.kind}

    def started(self, session: Session) -> None:
        """Remember whose optimizers to look at."""
        self._session = session

    def before_backward(self, loss: torch.Tensor) -> None:
        """Append the missing parameters, once."""
        optimizers = self._session.optimizers
        if self._done or not optimizers:
            return
        self._done = True
        known = {id(p) for p in trained_by(optimizers)}
        leaves = trainable(leaves_of(loss), optimizers)
        missing = [leaf for leaf in leaves if id(leaf) not in known]
        optimizers[0].param_groups[0]["params"].extend(missing)

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        return "Give the optimizer every parameter that the loss depends on."

    def edit(self) -> str:
        """A line of code."""
        return "self.layers = nn.ModuleList(layers)  # or add them to the optimizer's parameters"
