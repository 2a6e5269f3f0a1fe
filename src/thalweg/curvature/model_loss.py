"""The loss of a model on a batch, as a function of the parameters alone.

Curvature belongs to a function of the parameters. A model's loss is not one yet: batch
normalization writes into buffers and dropout draws from the random generator, so that a second
evaluation differs from the first and evaluating disturbs the training. Here every call begins from
the same buffers (copies) and the same random state, and the program's own stay as they were.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

LossOfParameters = Callable[[dict[str, Tensor]], Tensor]


def model_loss(
    model: nn.Module, loss: Callable[[Any, Any], Tensor], data: tuple[Any, Any]
) -> LossOfParameters:
    """The function params -> loss(model(inputs), targets), deterministic and without side effects.

    Args:
        model: in the mode (train or eval) whose loss is meant; tied parameters stay tied.
        loss: from the model's output and the targets to a scalar tensor.
        data: (inputs, targets); inputs may be a tuple of the model's positional arguments.
    """
    inputs, targets = data
    arguments = inputs if isinstance(inputs, tuple) else (inputs,)
    buffers = {name: buffer.detach().clone() for name, buffer in model.named_buffers()}
    cpu, devices = torch.get_rng_state(), accelerators(model)
    states = [torch.cuda.get_rng_state(device) for device in devices]

    def loss_of(params: dict[str, Tensor]) -> Tensor:
        fresh = {name: buffer.clone() for name, buffer in buffers.items()}
        with torch.random.fork_rng(devices):
            torch.set_rng_state(cpu)
            for device, state in zip(devices, states, strict=True):
                torch.cuda.set_rng_state(state, device)
            return loss(functional_call(model, {**params, **fresh}, arguments), targets)

    return loss_of


def trainable_parameters(model: nn.Module) -> dict[str, Tensor]:
    """The model's parameters that require gradients, by name, tied ones once."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def accelerators(model: nn.Module) -> list[torch.device]:
    """The CUDA devices that the model's parameters lie on; each has a random state of its own."""
    devices = {p.device for p in model.parameters() if p.device.type == "cuda"}
    return sorted(devices, key=str)
