"""The hyperparameters of a group as a formula wants them, read anew only when one has changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from operator import is_
from typing import Any

from torch import Tensor

# Types of values that cannot change while they are the same object.
FIRM = frozenset({float, int, bool, str, type(None)})


class Reading(dict[str, Any]):
    """Hyperparameters by name. It is never written to, so what follows from it may be kept."""

    @cached_property
    def split(self) -> tuple[list[float] | None, list[Any]]:
        """What `split` says of it."""
        return split(self)


class Settings:
    """Reads one group.

    Args:
        names: the rule's hyperparameters.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.values: list[Any] = []
        self.firm = False  # whether they are what they were as long as they are the same objects
        self.reading = Reading()

    def of(self, group: Mapping[str, Any]) -> Reading:
        """What the group says now."""
        values = list(map(group.__getitem__, self.names))
        if not self.firm or not all(map(is_, values, self.values)):
            self.values, self.firm = values, all(map(_is_firm, values))
            self.reading = Reading(zip(self.names, map(scalar, values), strict=True))
        return self.reading


def split(hyper: Mapping[str, Any]) -> tuple[list[float] | None, list[Any]]:
    """The floats among the hyperparameters and the others; no floats if there is a tensor."""
    values: list[float] = []
    others: list[Any] = []
    for x in hyper.values():
        if type(x) is tuple:
            for y in x:
                (values if type(y) is float else others).append(y)
        else:
            (values if type(x) is float else others).append(x)
    return (None if any(isinstance(x, Tensor) for x in others) else values), others


def scalar(x: Any) -> Any:
    """A hyperparameter as a formula wants it: a 1-element tensor without dimensions."""
    if isinstance(x, (tuple, list)):
        return tuple(map(scalar, x))
    return x.detach().squeeze() if isinstance(x, Tensor) else x


def _is_firm(x: Any) -> bool:
    return all(map(_is_firm, x)) if type(x) is tuple else type(x) in FIRM
