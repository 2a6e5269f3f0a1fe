r"""LSUV: layer-sequential unit variance, by looking at data instead of at fans.

D. Mishkin & J. Matas, *All you need is a good init* (ICLR 2016): orthogonal weights, then each
layer in the order in which it is called divided by the deviation of what it gives on a batch. With
biases of zero a layer's outputs are proportional to its weights, so that one division is exact
where the paper repeats it up to a tolerance; and as every layer hands on its outputs as they have
become, one pass through the network does for all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, final

from torch import Tensor, nn

from thalweg.operators.saved_random_state import random_state, restore_random
from thalweg.training.initialization.fixup import LAYERS, Layer


@final
@dataclass(frozen=True, eq=False)
class LSUV:
    """Orthogonal weights scaled to outputs of unit variance, as a kind of `initialize`.

    The linear and convolutional layers that are called as modules are scaled; recurrent layers,
    attention and layers that are not called stay orthogonal. A layer that is called several times
    is scaled by the first. Buffers, such as running statistics, are what they were.

    Attributes:
        inputs: a batch for the model, or a tuple of its arguments.
    """

    inputs: Any
    base: ClassVar[str] = "orthogonal"

    def check(self, model: nn.Module) -> None:
        """Raise unless there is a layer to scale."""
        if not any(isinstance(module, LAYERS) for module in model.modules()):
            raise ValueError("LSUV(inputs): the model has no linear or convolutional layer.")

    def finish(self, model: nn.Module, drawn: set[int]) -> None:
        """One pass, in which every layer that was drawn is divided by its outputs' deviation.

        Raises:
            ValueError: What a layer gives does not vary, or is not finite.
        """
        arguments = self.inputs if isinstance(self.inputs, tuple) else (self.inputs,)
        names: dict[nn.Module, str] = {module: name for name, module in model.named_modules()}
        waiting = set(drawn)

        def scale(layer: Layer, _: Any, output: Tensor) -> Tensor:
            if id(layer.weight) not in waiting:
                return output
            waiting.remove(id(layer.weight))
            deviation = output.std(correction=0)
            if not 0 < float(deviation) < float("inf"):
                raise ValueError(
                    f"LSUV(inputs): the outputs of {names[layer]!r} have deviation "
                    f"{float(deviation)} on this batch; give inputs that vary, and see whether the "
                    "nonlinearity before it lets anything pass."
                )
            layer.weight.div_(deviation)
            return output / deviation

        with hooked(model, scale), buffers_kept(model):
            model(*arguments)


@contextmanager
def hooked(model: nn.Module, hook: Any) -> Iterator[None]:
    """Call `hook` with what each layer gives, and go on with what it returns."""
    handles = [
        module.register_forward_hook(hook)
        for module in model.modules()
        if isinstance(module, LAYERS)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def buffers_kept(model: nn.Module) -> Iterator[None]:
    """Restore running statistics, and the random streams of dropout, those of devices too."""
    held = {name: buffer.clone() for name, buffer in model.named_buffers()}
    random = random_state()
    try:
        yield
    finally:
        restore_random(random)
        for name, buffer in model.named_buffers():
            buffer.copy_(held[name])
