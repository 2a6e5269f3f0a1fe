"""Less of what is added to the data's own loss: penalties, priors, auxiliary terms.

What it changes: where two scalars of the training loss are added of which one was computed from
targets (by a loss function of PyTorch, or from a difference with data) and the other was not, that
other one is scaled: a norm of the weights, a Kullback-Leibler divergence from a prior, a penalty on
activations. In evaluation nothing is changed, so that what the script measures stays what it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch.utils.weak import WeakIdKeyDictionary

from thalweg.interventions.intervention import Intervention, InterventionError
from thalweg.interventions.training_loss import put
from thalweg.recorder.session import Call
from thalweg.recorder.terms import added_term, follow


@dataclass
class Penalty(Intervention):
    """Scale what is added to the data's own loss by ``factor`` (0 leaves it out)."""

    kind: ClassVar[str] = "penalty"
    changes_loss: ClassVar[bool] = True
    factor: float = 0.1
    _of_data: WeakIdKeyDictionary = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.factor < 1:
            raise InterventionError(f"penalty: factor={self.factor}: give 0 up to less than 1")
        self._of_data = WeakIdKeyDictionary()
        self._done = False

    def as_data(self) -> dict[str, Any]:
        """Plain data."""
        return {"kind": self.kind, "factor": self.factor}

    def rewrite(self, call: Call) -> None:
        """Scale the term that no targets went into."""
        at = added_term(call, self._of_data) if torch.is_grad_enabled() else None
        if at is not None:
            put(call, at, call.args[at] * self.factor)
            self._done = True

    def called(self, call: Call, result: Any) -> None:
        """Follow what is computed from targets."""
        if torch.is_grad_enabled():
            follow(call, result, self._of_data)

    def before_backward(self, loss: torch.Tensor) -> None:
        """Refuse a script whose loss has no such term."""
        if not self._done:
            raise InterventionError(
                "penalty: nothing is added to the loss that could be told apart from outside"
            )

    def name(self) -> str:
        """A few words for a table."""
        return f"what is added to the loss x {self.factor:g}"

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        if not self.factor:
            return "Leave out what is added to the data's own loss."
        return f"Weigh what is added to the data's own loss {self.factor:g} times as much."

    def edit(self) -> str:
        """A line of code."""
        return f"loss = loss_of_the_data + {self.factor:g} * added"
