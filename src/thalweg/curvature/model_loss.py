"""A model on a batch, as a function of the parameters alone.

Curvature belongs to a function of the parameters. A model's loss is not one yet: batch
normalization writes into buffers and dropout draws from the random generator, so that a second
evaluation differs from the first and evaluating disturbs the training. Here every call begins from
the same buffers (copies) and the same random state, and the program's own stay as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

LossOfParameters = Callable[[dict[str, Tensor]], Tensor]
OutputOfParameters = Callable[[dict[str, Tensor]], Any]


def model_loss(
    model: nn.Module, loss: Callable[[Any, Any], Tensor], data: tuple[Any, Any]
) -> LossOfParameters:
    """The function params -> loss(model(inputs), targets), deterministic and without side effects.

    Args:
        model: in the mode (train or eval) whose loss is meant; tied parameters stay tied.
        loss: from the model's output and the targets to a scalar tensor.
        data: (inputs, targets); inputs may be a tuple of the model's positional arguments or a
            mapping of its keyword arguments.
    """
    inputs, targets = data
    restart, call = frozen_state(model), calling(model, inputs)

    def loss_of(params: dict[str, Tensor]) -> Tensor:
        with restart() as buffers:
            return loss(call(params, buffers), targets)

    return loss_of


def model_output(model: nn.Module, inputs: Any) -> OutputOfParameters:
    """The function params -> model(inputs), deterministic and without side effects.

    Args:
        model: as `model_loss`.
        inputs: as `model_loss`.
    """
    restart, call = frozen_state(model), calling(model, inputs)

    def output_of(params: dict[str, Tensor]) -> Any:
        with restart() as buffers:
            return call(params, buffers)

    return output_of


def calling(model: nn.Module, inputs: Any) -> Callable[..., Any]:
    """The model's call on `inputs`, of its parameters and buffers."""
    args = () if isinstance(inputs, Mapping) else inputs
    keywords = dict(inputs) if isinstance(inputs, Mapping) else {}
    args = args if isinstance(args, tuple) else (args,)
    return lambda params, buffers: functional_call(model, {**params, **buffers}, args, keywords)


def frozen_state(model: nn.Module) -> Callable[[], Any]:
    """A context that gives copies of the buffers and the random state as they are now."""
    buffers = {name: buffer.detach().clone() for name, buffer in model.named_buffers()}
    cpu, devices = torch.get_rng_state(), accelerators(model)
    states = [torch.cuda.get_rng_state(device) for device in devices]

    @contextmanager
    def restart() -> Iterator[dict[str, Tensor]]:
        with torch.random.fork_rng(devices):
            torch.set_rng_state(cpu)
            for device, state in zip(devices, states, strict=True):
                torch.cuda.set_rng_state(state, device)
            yield {name: buffer.clone() for name, buffer in buffers.items()}

    return restart


def trainable_parameters(model: nn.Module) -> dict[str, Tensor]:
    """The model's parameters that require gradients, by name, tied ones once."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def accelerators(model: nn.Module) -> list[torch.device]:
    """The CUDA devices that the model's parameters lie on; each has a random state of its own."""
    devices = {p.device for p in model.parameters() if p.device.type == "cuda"}
    return sorted(devices, key=str)
