"""Training every parameter: what the loss depends on is given to the optimizer.

What it changes: before a backward pass, leaf tensors that the loss differentiates and no optimizer
has are appended to the first parameter group of an optimizer: of the one that has most of what the
loss differentiates, of several the latest. A layer that is replaced amid training is found too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch.optim.optimizer import Optimizer

from thalweg.interventions.intervention import Intervention
from thalweg.recorder.leaves import leaves_of, trainable, trained_by
from thalweg.recorder.session import Session


@dataclass
class TrainedParameters(Intervention):
    """Give the optimizer the parameters that it was not given."""

    kind: ClassVar[str] = "trained-parameters"
    _seen: set[int] = field(default_factory=set, init=False, repr=False)

    def as_data(self) -> dict[str, Any]:
        """Plain data."""
        return {"kind": self.kind}

    def started(self, session: Session) -> None:
        """Remember whose optimizers to look at."""
        self._session = session

    def before_backward(self, loss: torch.Tensor) -> None:
        """Append the missing parameters."""
        optimizers = self._session.optimizers
        if not optimizers:
            return
        leaves = trainable(leaves_of(loss), optimizers)
        if self._seen.issuperset(map(id, leaves)):
            return
        self._seen.update(map(id, leaves))
        known = {id(p) for p in trained_by(optimizers)}
        missing = [leaf for leaf in leaves if id(leaf) not in known]
        # reversed: of several with as many the latest
        best = max(reversed(optimizers), key=lambda one: _shared(one, leaves))
        best.param_groups[0]["params"].extend(missing)

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        return "Give the optimizer every parameter that the loss depends on."

    def edit(self) -> str:
        """A line of code."""
        return "self.layers = nn.ModuleList(layers)  # or add them to the optimizer's parameters"


def _shared(optimizer: Optimizer, leaves: Sequence[torch.Tensor]) -> int:
    """How many of the leaves an optimizer has."""
    own = {id(p) for p in trained_by([optimizer])}
    return sum(id(leaf) in own for leaf in leaves)
