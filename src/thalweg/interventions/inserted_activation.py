"""An activation where there is none: between two layers that are one linear map together.

What it changes: the results of the layers at the given positions (counted through the forward pass
of the recording) go through an activation, in training and in evaluation. Where a bias is added by
a call of its own, it is added after the activation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from thalweg.interventions.activation import CHOICES, EDITS
from thalweg.interventions.forward_pass import ForwardPass, trained_weight
from thalweg.interventions.intervention import Intervention, InterventionError
from thalweg.recorder.session import Call


@dataclass
class InsertedActivation(Intervention):
    """Apply ``to`` after the layers at ``positions`` of a forward pass of ``period`` layers."""

    kind: ClassVar[str] = "inserted-activation"
    to: str = "relu"
    positions: list[int] = field(default_factory=list)
    period: int = 1

    def __post_init__(self) -> None:
        if self.to not in CHOICES or self.to == "identity":
            known = [one for one in CHOICES if one != "identity"]
            raise InterventionError(
                f"inserted-activation: to={self.to!r}: choose one of {', '.join(known)}"
            )
        self._pass = ForwardPass(self.period)

    def rewrite(self, call: Call) -> None:
        """Apply the activation to what the layer gives."""
        self._pass.begin_at(call)
        if trained_weight(call) is not None and self._pass.next() in self.positions:
            call.func = _followed(call.func, CHOICES[self.to])

    def name(self) -> str:
        """A few words for a table."""
        return f"{self.to} between layers"

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        places = ", ".join(str(at + 1) for at in self.positions)
        return f"Put {EDITS[self.to]} after layer {places} (of {self.period} in a forward pass)."

    def edit(self) -> str:
        """A line of code."""
        return EDITS[self.to]


def _followed(
    func: Callable[..., Any], activation: Callable[[torch.Tensor], torch.Tensor]
) -> Callable[..., Any]:
    def compute(*args: Any, **kwargs: Any) -> Any:
        result = func(*args, **kwargs)
        return activation(result) if isinstance(result, torch.Tensor) else result

    return compute
