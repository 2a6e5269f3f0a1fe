"""The steps of a method in place of those of one of the script's optimizers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import distributed
from torch.optim.optimizer import Optimizer

from thalweg.interventions.passes import Passes
from thalweg.interventions.taped_loss import taped_loss
from thalweg.minimize import Counts
from thalweg.minimize.contract import Direction
from thalweg.minimize.steps import Search, Steps
from thalweg.recorder.leaves import trained_by

# Methods that keep a matrix of n x n numbers, and the most parameters for which they may.
DENSE = {"bfgs": "l-bfgs", "dfp": "l-bfgs", "sr1": "l-sr1"}
LARGEST_DENSE = 10_000


class Walk:
    """A method over the parameters of one optimizer.

    Args:
        optimizer: The script's.
        make_direction: The direction, anew at every call.
        make_search: The search for a direction; None for what suits.

    Attributes:
        passes: The backward passes that the next update is made of.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        make_direction: Callable[[], Direction],
        make_search: Callable[[Direction], Search | None],
    ) -> None:
        self.passes = Passes(optimizer)
        self._optimizer = optimizer
        self._make_direction, self._make_search = make_direction, make_search
        self._params: list[torch.Tensor] = []
        self._made: list[Steps] = []

    def step(self) -> None:
        """Make one update.

        Raises:
            RuntimeError, TypeError, ValueError: The loss is not one that the method can go down.
        """
        check_alone()
        uphill = {bool(group.get("maximize", False)) for group in self._optimizer.param_groups}
        if len(uphill) > 1:
            raise ValueError("some of its parameter groups go up and others down")
        steps, seen = self._steps(), not self.passes.overtaken
        tapes = self.passes.taken()
        steps.step(taped_loss(tapes, self._params, maximize=uphill.pop(), seen=seen))

    def counts(self) -> Counts:
        """What all steps asked for."""
        rows = [asdict(steps.counts) for steps in self._made]
        return Counts(**{name: sum(row[name] for row in rows) for name in asdict(Counts())})

    def last(self) -> str:
        """How the last step ended."""
        return f"{self._made[-1].status}, {self._made[-1].why}" if self._made else "none was made"

    def _steps(self) -> Steps:
        """Over the parameters as they are; where those are others, nothing is known yet."""
        params = [p for p in trained_by([self._optimizer]) if p.requires_grad and p.numel()]
        if not self._made or [*map(id, params)] != [*map(id, self._params)]:
            self._params = params
            self._made.append(self._begun(params))
        return self._made[-1]

    def _begun(self, params: Sequence[torch.Tensor]) -> Steps:
        direction = self._make_direction()
        check_size(direction.name, sum(p.numel() for p in params))
        factors = {id(p): decay_of(g) for g in self._optimizer.param_groups for p in g["params"]}
        decay = [factors[id(p)] for p in params]
        return Steps(params, direction, self._make_search(direction), decay=decay)


class StandIn(Optimizer):
    """An optimizer over the same parameter groups whose step is a function's."""

    def __init__(self, own: Optimizer, make_step: Callable[[], None]) -> None:
        super().__init__([{"params": group["params"]} for group in own.param_groups], {})
        self._make_step = make_step

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update; the loss that the closure gives before it, if there is one."""
        with torch.enable_grad():
            loss = None if closure is None else closure()
            self._make_step()
        return loss


def decay_of(group: dict[str, Any]) -> float:
    """The weight decay that enters the gradient; 0 where it moves the parameters past it."""
    apart = bool(group.get("decoupled_weight_decay", False))
    return 0.0 if apart else float(group.get("weight_decay", 0.0))


def check_size(name: str, size: int) -> None:
    """Raise ValueError for more parameters than a method with a dense matrix can have."""
    if name in DENSE and size > LARGEST_DENSE:
        raise ValueError(
            f"it keeps a matrix of {size} x {size} numbers; {DENSE[name]} does without"
        )


def check_alone() -> None:
    """Raise ValueError if other processes have a share in the gradient."""
    together = distributed.is_available() and distributed.is_initialized()
    if together and distributed.get_world_size() > 1:
        raise ValueError(
            "the script trains in several processes, and each sees its own share of the loss alone"
        )
