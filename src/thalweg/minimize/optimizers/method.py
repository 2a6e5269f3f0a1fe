"""What one class of optimizer is: its direction, and the settings that users give it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, final

from thalweg.minimize.contract import Direction

# PyTorch's names and defaults; `line_search_fn` is PyTorch's in LBFGS alone.
COMMON: Mapping[str, Any] = {
    "lr": 1.0,
    "max_iter": 20,
    "max_eval": None,
    "tolerance_grad": 1e-7,
    "tolerance_change": 1e-9,
    "line_search_fn": "auto",
}

# A direction's functions of a flat point, which a closure takes the place of.
SUPPLIED = frozenset({"residuals", "loss"})


@final
@dataclass(frozen=True)
class Method:
    """A direction as an optimizer.

    Attributes:
        make: from its own settings, by name, to the direction.
        renamed: settings that users know by another name: theirs, then the direction's.
        defaults: settings whose default is another than in `COMMON` or than the direction's.
        pairs: whether closures return (output, targets).
        looks_back: whether the direction compares the loss at several points by itself.
    """

    make: Callable[..., Direction]
    renamed: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    pairs: bool = False
    looks_back: bool = False

    @property
    def own(self) -> dict[str, Any]:
        """The direction's settings with their defaults, as users name them."""
        names = {theirs: ours for ours, theirs in self.renamed.items()}
        parameters = inspect.signature(self.make).parameters.values()
        return {names.get(p.name, p.name): p.default for p in parameters if p.name not in SUPPLIED}

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting with its default; PyTorch's first, in its order."""
        *first, search = COMMON
        renamed = {name: self.own[name] for name in self.renamed}
        ordered = {**{name: COMMON[name] for name in first}, **renamed, search: COMMON[search]}
        return {**ordered, **self.own, **self.defaults}

    def direction(self, settings: Mapping[str, Any], **supplied: Any) -> Direction:
        """A new direction.

        Raises:
            ValueError: a setting of its own is out of its domain.
        """
        own = {self.renamed.get(name, name): settings[name] for name in self.own}
        return self.make(**own, **supplied)
