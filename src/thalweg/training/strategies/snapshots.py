"""Snapshots: the model as it was at the end of each cycle of a learning rate with warm restarts.

    schedule = CosineAnnealingWarmRestarts(optimizer, T_0=100, T_mult=2)     # stepped each step
    snapshots = Snapshots(optimizer, model, at=cycle_ends(100, 2, cycles=3))
    ...                                                                      # train as ever
    probabilities = snapshots.outputs(x).softmax(-1).mean(0)

Each cycle ends in a minimum, and the restart leads to another, so that one run gives several models
for the time of one. Their mean prediction has at most the mean of their cross-entropies, because
-log is convex. The copies go along with the optimizer's own `state_dict`, so that what saves and
resumes the optimizer, such as `thalweg.training.fit`, does so with them. The schedule is PyTorch's
own; where cycles have one length, the mean of the weights at their ends is
`thalweg.optim.StochasticWeightAverage`.

Reference: Loshchilov & Hutter (2017), *SGDR*, arXiv 1608.03983, equation 5; Huang, Li, Pleiss, Liu,
Hopcroft & Weinberger (2017), *Snapshot ensembles*, arXiv 1704.00109.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import Optimizer

from thalweg.training.metrics import evaluating


def cycle_ends(first: int, factor: int, cycles: int) -> list[int]:
    """The last step of each cycle, counted from 1: first, first (1 + factor), ...

    Args:
        first: the length of the first cycle in steps, PyTorch's `T_0`.
        factor: how many times as long as the last each cycle is, its `T_mult`.
        cycles: how many.

    Raises:
        ValueError: one of them below 1.
    """
    if min(first, factor, cycles) < 1:
        raise ValueError(f"cycle_ends({first}, {factor}, {cycles}): each is 1 or more.")
    return [first * sum(factor**i for i in range(k)) for k in range(1, cycles + 1)]


@final
class Snapshots:
    """Copies of a model after chosen steps of an optimizer.

    Args:
        optimizer: whose steps are counted, from 1.
        model: what is copied: parameters and buffers.
        at: the steps after which it is.
    """

    def __init__(self, optimizer: Optimizer, model: nn.Module, at: Collection[int]) -> None:
        self.model, self.at, self.steps = model, frozenset(at), 0
        self.states: list[dict[str, Tensor]] = []
        self._hooks = [
            optimizer.register_step_post_hook(lambda *_: self.update()),
            optimizer.register_state_dict_post_hook(self._save),
            optimizer.register_load_state_dict_pre_hook(self._load),
        ]

    def update(self) -> None:
        """Count a step and copy the model if it is one of those; called after each step."""
        self.steps += 1
        if self.steps in self.at:
            now = self.model.state_dict()
            self.states.append({name: value.detach().clone() for name, value in now.items()})

    def outputs(self, *inputs: Any) -> Tensor:
        """What each copy makes of the inputs, in evaluation mode: (copies, ...).

        Raises:
            ValueError: there is no copy yet.
        """
        if not self.states:
            raise ValueError(
                f"Snapshots.outputs(...): no copy after {self.steps} steps; the first is made "
                f"after {min(self.at, default='none')}."
            )
        with evaluating(self.model):
            return torch.stack([functional_call(self.model, one, inputs) for one in self.states])

    def detach(self) -> None:
        """Stop following the optimizer; the copies stay."""
        for hook in self._hooks:
            hook.remove()

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs."""
        return {"steps": self.steps, "states": [*self.states]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that was saved."""
        self.steps = state["steps"]
        places = {name: value.device for name, value in self.model.state_dict().items()}
        self.states = [
            {name: value.to(places[name]) for name, value in one.items()} for one in state["states"]
        ]

    def _save(self, _: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        return state | {"snapshots": self.state_dict()}

    def _load(self, _: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        if taken := state.get("snapshots"):
            self.load_state_dict(taken)
        return {name: value for name, value in state.items() if name != "snapshots"}
