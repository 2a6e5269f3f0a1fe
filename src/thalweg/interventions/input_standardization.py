"""Standardized inputs: zero mean and unit variance for every feature that enters the network.

What it changes: where data that depends on no parameter meets the first weights, it is shifted and
scaled by the moments of the training data, per feature (per channel of an image). The moments are
those of a recording and travel in the description, so that training and evaluation see the same
transform. Constant features are only shifted (LeCun et al., Efficient BackProp, 1998, section 4.3).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from thalweg.interventions.intervention import Intervention
from thalweg.recorder.anatomy import LAYERS, plain
from thalweg.recorder.recorder import entrance_of
from thalweg.recorder.session import Call


@dataclass
class InputStandardization(Intervention):
    """Standardize what enters.

    Attributes:
        entrances: For each entrance, in the order in which training meets them, ``mean`` and
            ``std`` (lists with one number a feature, or a single number).
    """

    kind: ClassVar[str] = "input-standardization"
    entrances: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._order: dict[int, int] = {}
        self._keep: list[torch.Tensor] = []

    def rewrite(self, call: Call) -> None:
        """Standardize the data of a layer at an entrance."""
        if plain(call.name) not in LAYERS:
            return
        found = entrance_of(call)
        if found is None:
            return
        data, weight = found
        if id(weight) not in self._order and torch.is_grad_enabled():
            self._order[id(weight)] = len(self._order)
            self._keep.append(weight)
        at = self._order.get(id(weight))
        if at is None:
            return
        scaled = self._scaled(data, at)
        call.args = tuple(scaled if one is data else one for one in call.args)

    def _scaled(self, data: torch.Tensor, at: int) -> torch.Tensor:
        if at >= len(self.entrances):
            return data
        mean, std = (
            torch.as_tensor(self.entrances[at][key], dtype=torch.float64, device=data.device)
            for key in ("mean", "std")
        )
        axis = 1 if data.dim() in (4, 5) else -1
        if mean.dim() and mean.numel() != data.shape[axis]:
            return data
        if mean.dim() and axis == 1:
            shape = (-1, *[1] * (data.dim() - 2))
            mean, std = mean.reshape(shape), std.reshape(shape)
        return ((data.to(torch.float64) - mean) / std).to(data.dtype)

    def name(self) -> str:
        """A few words for a table."""
        return "standardized inputs"

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        return "Standardize the inputs: subtract each feature's training mean, divide by its deviation."

    def edit(self) -> str:
        """A line of code."""
        return "x = (x - x_train.mean(0)) / x_train.std(0)"


def of_moments(moments: dict[str, Any], largest: int = 4096) -> list[dict[str, Any]]:
    """The entrances' means and deviations out of a recording's ``moments.npz``, as plain data.

    A constant feature gets a deviation of 1. An entrance of more than ``largest`` features is
    described by one mean and deviation for all.
    """
    entrances = []
    count = sum(1 for key in moments if key.startswith("mean"))
    for at in range(count):
        mean, std = moments[f"mean{at}"], moments[f"std{at}"]
        if mean.size > largest:
            spread = ((std**2).mean() + mean.var()) ** 0.5
            entrances.append({"mean": float(mean.mean()), "std": float(spread) or 1.0})
            continue
        flat = std <= 1e-8 * max(float(abs(mean).max()), float(std.max()), 1e-30)
        std = std.copy()
        std[flat] = 1.0
        entrances.append({"mean": mean.tolist(), "std": std.tolist()})
    return entrances
