"""Where a run takes place: on one device, or on what Hugging Face's accelerate arranges.

With an `Accelerator` the model is wrapped for distributed data parallelism (or sharded) by it, each
process takes its share of every batch, and sums are taken over all processes.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils._pytree import tree_map


class Placement(Protocol):
    """What the loop asks of its surroundings."""

    device: torch.device
    rank: int
    world: int

    def prepare(self, model: nn.Module, optimizer: Optimizer) -> tuple[nn.Module, Optimizer]:
        """The model and the optimizer to train with."""

    def loader(self, loader: Any) -> Any:
        """A loader that gives this process its share."""

    def bare(self, model: nn.Module) -> nn.Module:
        """The user's model inside of the one that is trained."""

    def silent(self, model: nn.Module) -> AbstractContextManager[object]:
        """A context in which gradients are not yet shared: more are to come before the step."""

    def backward(self, loss: Tensor) -> None:
        """Take the gradient."""

    def sum(self, value: Tensor) -> Tensor:
        """The sum over all processes."""

    def moved(self, data: Any) -> Any:
        """Tensors of `data` on the device."""


class OneDevice:
    """This process alone, on the device where the model is."""

    rank, world = 0, 1

    def __init__(self, model: nn.Module) -> None:
        first = next(iter(model.parameters()), None)
        self.device = torch.device("cpu") if first is None else first.device

    def prepare(self, model: nn.Module, optimizer: Optimizer) -> tuple[nn.Module, Optimizer]:
        """As they are."""
        return model, optimizer

    def loader(self, loader: Any) -> Any:
        """As it is."""
        return loader

    def bare(self, model: nn.Module) -> nn.Module:
        """The model itself."""
        return model

    def silent(self, model: nn.Module) -> AbstractContextManager[object]:
        """Nothing to be kept."""
        return nullcontext()

    def backward(self, loss: Tensor) -> None:
        """Autograd's."""
        loss.backward()  # type: ignore[no-untyped-call]

    def sum(self, value: Tensor) -> Tensor:
        """The value itself."""
        return value

    def moved(self, data: Any) -> Any:
        """Tensors on the device."""
        return tree_map(lambda x: x.to(self.device) if isinstance(x, Tensor) else x, data)


class Accelerated(OneDevice):
    """What an `accelerate.Accelerator` arranges."""

    def __init__(self, accelerator: Any) -> None:
        self.accelerator = accelerator
        self.device = accelerator.device
        self.rank, self.world = accelerator.process_index, accelerator.num_processes

    def prepare(self, model: nn.Module, optimizer: Optimizer) -> tuple[nn.Module, Optimizer]:
        """Wrapped by the accelerator."""
        model, optimizer = self.accelerator.prepare(model, optimizer)
        return model, optimizer

    def loader(self, loader: Any) -> Any:
        """Wrapped by the accelerator, which gives each process its share."""
        return self.accelerator.prepare(loader)

    def bare(self, model: nn.Module) -> nn.Module:
        """The model without its wrapper."""
        found: nn.Module = self.accelerator.unwrap_model(model)
        return found

    def silent(self, model: nn.Module) -> AbstractContextManager[object]:
        """Without synchronization."""
        context: AbstractContextManager[object] = self.accelerator.no_sync(model)
        return context

    def backward(self, loss: Tensor) -> None:
        """The accelerator's, which scales where its precision needs it."""
        self.accelerator.backward(loss)

    def sum(self, value: Tensor) -> Tensor:
        """Over all processes."""
        total: Tensor = self.accelerator.reduce(value, reduction="sum")
        return total


def placement_of(model: nn.Module, accelerator: Any) -> OneDevice | Accelerated:
    """With an accelerator if there is one.

    Raises:
        TypeError: it has not what an `Accelerator` has.
    """
    if accelerator is None:
        return OneDevice(model)
    missing = [n for n in ("prepare", "unwrap_model", "reduce") if not hasattr(accelerator, n)]
    if missing:
        raise TypeError(
            f"fit(accelerator={type(accelerator).__name__}): give an accelerate.Accelerator() "
            "(pip install 'thalweg[training]')."
        )
    return Accelerated(accelerator)
