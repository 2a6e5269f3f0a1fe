"""Parts of a model that stay as they are while the others train.

    with frozen(model.features):
        train(model)

Frozen parameters stay what they were bit for bit: they have no gradient, and an optimizer passes
over what has none, its weight decay and its momentum included. What the optimizer keeps about them
is kept too, so that one optimizer can serve all stages. Normalization layers whose statistics
follow the data (batch norm) work as in evaluation mode, so that those stay as well.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.hooks import RemovableHandle


@contextmanager
def frozen(*parts: nn.Module) -> Iterator[None]:
    """In the block, nothing of these modules changes; afterwards they are as free as before.

    Gradients that they have when the block begins are thrown away. A part that was frozen before
    the block stays frozen after it.
    """
    trained = [p for part in parts for p in part.parameters() if p.requires_grad]
    with ExitStack() as stack:
        for parameter in trained:
            parameter.requires_grad_(False)
            parameter.grad = None  # a stale one would let the optimizer move it
            stack.callback(parameter.requires_grad_, True)
        for module in {m for part in parts for m in part.modules() if isinstance(m, _NormBase)}:
            for hook in _keep_statistics(module):
                stack.callback(hook.remove)
        yield


def _keep_statistics(norm: nn.Module) -> list[RemovableHandle]:
    """Let a layer work in evaluation mode whenever it is called; the hooks that do so."""
    was = [norm.training]  # the mode around a call; loops call `train` as they like

    def before(module: nn.Module, _: Any) -> None:
        was[0] = module.training
        module.eval()

    def after(module: nn.Module, *_: Any) -> None:
        module.train(was[0])

    return [
        norm.register_forward_pre_hook(before),
        norm.register_forward_hook(after, always_call=True),
    ]
