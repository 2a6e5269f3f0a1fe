"""Where calls that drop units at random keep their probability and their flag for training.

Besides the dropout functions these are recurrent layers (between their layers) and attention.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from thalweg.recorder.anatomy import RECURRENT, plain
from thalweg.recorder.session import Call

DROPOUTS = frozenset(
    {"dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"}
)


@dataclass(frozen=True)
class Place:
    """An argument: its name, its position, and what it is if it is not given."""

    name: str
    position: int
    default: Any

    def get(self, call: Call) -> Any:
        """Its value in this call."""
        if len(call.args) > self.position:
            return call.args[self.position]
        return call.kwargs.get(self.name, self.default)

    def put(self, call: Call, value: Any) -> None:
        """Give it another value, wherever it stands."""
        if len(call.args) > self.position:
            before, after = call.args[: self.position], call.args[self.position + 1 :]
            call.args = (*before, value, *after)
        else:
            call.kwargs = call.kwargs | {self.name: value}


def probability(call: Call) -> Place | None:
    """Where the probability to drop stands; None if the call drops nothing."""
    name = plain(call.name)
    if name in DROPOUTS:
        return Place("p", 1, 0.5)
    if name == "multi_head_attention_forward":
        return Place("dropout_p", 10, 0.0)
    if name == "scaled_dot_product_attention":
        return Place("dropout_p", 4, 0.0)
    return Place("dropout", at, 0.0) if (at := _rate_of_recurrent(call, name)) else None


def flag(call: Call) -> Place | None:
    """Where the call is told whether it is training; None if it is not told."""
    name = plain(call.name)
    if name in DROPOUTS:
        return Place("training", 2, True)
    if name == "multi_head_attention_forward":
        return Place("training", 13, True)
    return Place("train", at + 1, False) if (at := _rate_of_recurrent(call, name)) else None


def _rate_of_recurrent(call: Call, name: str) -> int:
    """Recurrent layers take it as their only float; packed sequences move it by one; 0: none."""
    if name not in RECURRENT:
        return 0
    return next((at for at, one in enumerate(call.args) if isinstance(one, float)), 0)
