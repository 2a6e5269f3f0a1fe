"""A model on a batch, as a function of the parameters alone.

Curvature belongs to a function of the parameters. A model's loss is not one yet: batch
normalization writes into buffers and dropout draws from the random generator, so that a second
evaluation differs from the first and evaluating disturbs the training. Here every call begins from
the same buffers (copies), the same mode and the same random state, and the program's own stay as
they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.func import functional_call

from thalweg.operators.distributed import without_sharding
from thalweg.operators.random_state import RandomState
from thalweg.operators.snapshot import whole

LossOfParameters = Callable[[dict[str, Tensor]], Tensor]
OutputOfParameters = Callable[[dict[str, Tensor]], Any]
Call = Callable[[Mapping[str, Tensor], Any], Any]


def model_loss(
    model: nn.Module, loss: Callable[[Any, Any], Tensor], data: tuple[Any, Any]
) -> LossOfParameters:
    """The function params -> loss(model(inputs), targets), deterministic and without side effects.

    Args:
        model: in the mode (train or eval) whose loss is meant; tied parameters stay tied.
        loss: from the model's output and the targets to a scalar tensor.
        data: (inputs, targets); inputs may be a tuple or list of the model's positional
            arguments or a mapping of its keyword arguments.
    """
    inputs, targets = data
    frozen = FrozenModel(model)

    def loss_of(params: dict[str, Tensor]) -> Tensor:
        with frozen.restarted() as call:
            return loss(call(params, inputs), targets)

    return loss_of


def model_output(model: nn.Module, inputs: Any) -> OutputOfParameters:
    """The function params -> model(inputs), deterministic and without side effects.

    Args:
        model: as `model_loss`.
        inputs: as `model_loss`.
    """
    frozen = FrozenModel(model)

    def output_of(params: dict[str, Tensor]) -> Any:
        with frozen.restarted() as call:
            return call(params, inputs)

    return output_of


@final
class FrozenModel:
    """A model as it is now, whatever happens to it later.

    Args:
        model: its buffers are copied; its mode and the random state are noted.
        constants: values of parameters that calls take from here unless they are handed others.
    """

    def __init__(self, model: nn.Module, constants: Mapping[str, Tensor] | None = None) -> None:
        self._model = model
        self._constants = dict(constants or {})
        self._buffers = {name: whole(b).detach().clone() for name, b in model.named_buffers()}
        self._modes = [(module, module.training) for module in model.modules()]
        self._random = RandomState.now(accelerators(model), generators(model).values())

    @contextmanager
    def restarted(self, stream: int = 0) -> Iterator[Call]:
        """Inside, the call (params, inputs) -> output, from the state that was frozen.

        Args:
            stream: of random draws; see `RandomState.resumed`.
        """
        with self._random.resumed(stream), modes(self._modes), without_sharding(self._model):
            buffers = {name: buffer.clone() for name, buffer in self._buffers.items()}
            state = {**self._constants, **buffers}
            yield lambda params, inputs: called(self._model, {**state, **params}, inputs)


def called(model: nn.Module, state: dict[str, Tensor], inputs: Any) -> Any:
    """The model's output with `state` for its parameters and buffers."""
    if isinstance(inputs, Mapping):
        return functional_call(model, state, (), dict(inputs))
    # A DataLoader makes lists of the tuples that its data set gives.
    args = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    return functional_call(model, state, args)


@contextmanager
def modes(wanted: list[tuple[nn.Module, bool]]) -> Iterator[None]:
    """Modules in these modes (True for training); afterwards in their own again."""
    before = [(module, module.training) for module, _ in wanted]
    set_modes(wanted)
    try:
        yield
    finally:
        set_modes(before)


def set_modes(wanted: list[tuple[nn.Module, bool]]) -> None:
    """Put each module, and not those inside it, into its mode."""
    for module, training in wanted:
        module.training = training


def trainable_parameters(model: nn.Module) -> dict[str, Tensor]:
    """The model's parameters that require gradients, by name, tied ones once."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def accelerators(model: nn.Module) -> list[torch.device]:
    """The CUDA devices that the model's parameters lie on; each has a random state of its own."""
    devices = {p.device for p in model.parameters() if p.device.type == "cuda"}
    return sorted(devices, key=str)


def generators(model: nn.Module) -> dict[str, torch.Generator]:
    """The random generators that modules keep as attributes, by their names."""
    return {
        f"{path}.{name}".removeprefix("."): value
        for path, module in model.named_modules()
        for name, value in vars(module).items()
        if isinstance(value, torch.Generator)
    }
