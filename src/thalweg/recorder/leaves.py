"""The tensors that a loss is differentiated for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch.optim.optimizer import Optimizer


def needs_gradient(tensor: torch.Tensor) -> bool:
    """Whether gradients flow to or through the tensor.

    Of a view made under ``no_grad`` whose base was written to since, PyTorch refuses to say.
    """
    try:
        return tensor.requires_grad and (tensor.is_leaf or tensor.grad_fn is not None)
    except RuntimeError:
        return False


def is_leaf(tensor: torch.Tensor) -> bool:
    """Whether gradients flow to the tensor and no further."""
    return needs_gradient(tensor) and tensor.is_leaf


def leaves_of(loss: torch.Tensor) -> list[torch.Tensor]:
    """The leaf tensors whose gradient the loss has, in the order a backward walk meets them."""
    found: dict[int, torch.Tensor] = {}
    seen: set[Any] = set()
    waiting = [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if isinstance(leaf, torch.Tensor):
            found.setdefault(id(leaf), leaf)
        waiting.extend(parent for parent, _ in node.next_functions)
    return list(found.values())


def trained_by(optimizers: Iterable[Optimizer]) -> list[torch.Tensor]:
    """Everything that these optimizers were given."""
    return [p for one in optimizers for group in one.param_groups for p in group["params"]]


def trainable(
    leaves: Iterable[torch.Tensor], optimizers: Sequence[Optimizer]
) -> list[torch.Tensor]:
    """Those leaves that are there to be trained, not data whose gradient somebody wants.

    Where optimizers are given nothing but ``nn.Parameter``, only these are meant to be trained.
    """
    own = trained_by(optimizers)
    bare = not own or any(not isinstance(p, torch.nn.Parameter) for p in own)
    return [one for one in leaves if bare or isinstance(one, torch.nn.Parameter)]


def those_that_train(
    loss: torch.Tensor, optimizers: Iterable[Optimizer], known: Iterable[Optimizer] = ()
) -> list[Optimizer]:
    """The optimizers that were given some of what this loss is differentiated for.

    ``known`` are left out: one whose closure computes the loss has been seen before it.
    """
    leaves, seen = {id(leaf) for leaf in leaves_of(loss)}, set(map(id, known))
    new = [one for one in optimizers if id(one) not in seen]
    return [one for one in new if any(id(p) in leaves for p in trained_by([one]))]


def alone(outputs: Any) -> torch.Tensor | None:
    """The one tensor that is differentiated; None if there are several."""
    if isinstance(outputs, list | tuple) and len(outputs) == 1:
        outputs = outputs[0]
    return outputs if isinstance(outputs, torch.Tensor) else None
