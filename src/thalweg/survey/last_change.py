"""The call at which a program first uses the network that it ends with.

Many programs evaluate after each epoch and keep the parameters that did best. What they end with is
known when no update follows, and no loading: at the first call of a network after the last change
of any network's weights. To prune earlier would be to let them choose by what pruning has spoilt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn
from torch.optim.optimizer import Optimizer

from thalweg.pruning.layers import KINDS
from thalweg.recorder import Listener

State = tuple[tuple[int, int], ...]


class LastChange(Listener):
    """Counts the outermost calls of networks.

    Attributes:
        at: The number of the first call, from 1, since weights last changed; None if there is none
            after the last update.
    """

    only_looks: ClassVar[bool] = True

    def __init__(self) -> None:
        self.at: int | None = None
        self._calls = 0
        self._seen: dict[int, State] = {}

    def before_step(self, optimizer: Optimizer | None) -> None:
        """Weights are about to change by hand, the end of which is told too late."""
        if optimizer is None:
            self.at = None

    def after_step(self, optimizer: Optimizer | None) -> None:
        """Weights have changed."""
        if optimizer is not None:
            self.at = None

    def entered(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """A network is called."""
        self._calls += 1
        state = state_of(module)
        if self.at is None or self._seen.get(id(module)) != state:
            self.at = self._calls
        self._seen[id(module)] = state


def state_of(module: nn.Module) -> State:
    """Where its layers' weights lie, and how often they were written to."""
    weights = [one.weight for one in module.modules() if isinstance(one, KINDS)]
    return tuple((weight.data_ptr(), weight._version) for weight in weights)
