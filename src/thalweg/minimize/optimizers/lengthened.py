"""A line search with a learning rate: what the direction's own length is multiplied by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from thalweg.minimize.contract import Found, Line, LineSearch
from thalweg.minimize.loop import load_state, state_of


@final
class Lengthened:
    """A search whose first trial is `lr` times as long as proposed.

    Attributes:
        lr: above zero; with `Fixed` it is the step itself.
    """

    def __init__(self, search: LineSearch, lr: float = 1.0) -> None:
        self.search, self.lr = search, lr

    def along(self, line: Line, at_zero: tuple[float, float], first: float) -> Found:
        """The step to take; see `LineSearch`."""
        return self.search.along(line, at_zero, self.lr * first)

    def state_dict(self) -> dict[str, Any]:
        """What the search remembers."""
        return state_of(self.search)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the search go on from it."""
        load_state(self.search, state)
