r"""A closure taken apart at its model: loss(output(params)), for matrices that need the two.

    output    the closure is run, and the model's output noted on the way
    loss      the closure is run, and its model gives back the output that it is told

So a closure by PyTorch's convention serves: it clears the gradients, calls the model and `backward`
and returns the loss. A penalty on the parameters, which the closure may add, is part of the loss
and of its gradient, but no part of what is taken apart. An output of 16 bits, as autocast makes
them, is one of 32 here: curvature would not survive the rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from thalweg.operators.model_loss import accelerators, generators
from thalweg.operators.random_state import RandomState


@final
class Apart:
    """A closure in two parts.

    Args:
        call: the optimizer's name, for messages.
        model: that the closure calls, once.
        whole: runs the closure, and gives the loss with its graph.
    """

    def __init__(self, call: str, model: nn.Module, whole: Callable[[], Tensor]) -> None:
        self._call, self._model, self._whole = call, model, whole
        self._samples: int | None = None
        self._random: RandomState | None = None

    def output(self, _: Any = None) -> Any:
        """The model's output, with its graph.

        Raises:
            ValueError: the closure calls the model not at all, or more than once.
        """
        found: list[Any] = []
        own = self._model.forward

        def watched(*args: Any, **kwargs: Any) -> Any:
            found.append(own(*args, **kwargs))
            self._samples = length(args, kwargs)
            self._random = RandomState.now(
                accelerators(self._model), generators(self._model).values()
            )
            return found[-1]

        with replaced(self._model, watched):
            self._whole()
        if len(found) != 1:
            raise ValueError(
                f"{self._call}.step(closure): the closure called the model {len(found)} times. "
                "What it loses is taken apart at the model's output: call model(inputs) once, with "
                "the model that the optimizer was given; or wrap several calls in one module."
            )
        return tree_map(widened, found[0])

    def loss(self, output: Any) -> Tensor:
        """The loss where the model gives this output; asked after `output`."""

        def given(*_: Any, **__: Any) -> Any:
            if self._random is not None:  # what follows draws what it drew after the model itself
                self._random.restore()
            return output

        with replaced(self._model, given):
            return self._whole()

    def counted(self) -> int | None:
        """How many samples the model is called with; None if that cannot be seen."""
        if self._samples is None:
            self.output()
        return self._samples


@contextmanager
def replaced(model: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Inside, the module computes `forward`; its hooks are called as ever."""
    own = vars(model).get("forward")
    model.forward = forward
    try:
        yield
    finally:
        if own is None:
            del model.forward
        else:
            model.forward = own


def widened(leaf: Any) -> Any:
    """A leaf of an output, with at least 32 bits if it is a tensor of real numbers."""
    if not isinstance(leaf, Tensor) or not leaf.is_floating_point():
        return leaf
    return leaf.to(torch.promote_types(leaf.dtype, torch.float32))


def length(args: Any, kwargs: Any) -> int | None:
    """The length of the first tensor among a module's arguments."""
    leaves = tree_leaves((args, kwargs))
    return next((len(x) for x in leaves if isinstance(x, Tensor) and x.dim()), None)
