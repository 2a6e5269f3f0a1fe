"""Prunes whatever network a program evaluates, each time that its weights are others again.

A program that has trained may load the best parameters that it had kept, or go on with an average
or a copy of its network. What counts is what it evaluates in the end; so a network is pruned when
it is called, and once more when the zeros are gone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from thalweg.operators.model_loss import modes
from thalweg.pruning import Pruned, prune
from thalweg.pruning.layers import KINDS
from thalweg.survey.last_batches import Inputs, samples

WHOLE, WIDEST = 2000, 4096  # parameters for the surgeon; inputs or outputs of a Kronecker factor

Signature = tuple[tuple[int, ...], ...]


class Wrapped(nn.Module):
    """A network called with both kinds of arguments, its output as one tensor for each sample."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
        """Shape (samples, everything that is put out for one)."""
        return table(self.module(*args, **kwargs), samples((args, kwargs)))


def table(output: Any, rows: int) -> Tensor:
    """What is put out for each sample in one row; all in one row where it is not by sample."""
    found = [x for x in tree_leaves(output) if isinstance(x, Tensor) and x.is_floating_point()]
    by_sample = [x.reshape(rows, -1) for x in found if x.dim() and len(x) == rows]
    if not found:
        raise TypeError(f"a network that puts out {type(output).__name__} without a floating "
                        "tensor cannot be compared with itself")  # fmt: skip
    return torch.cat(by_sample or [x.reshape(1, -1) for x in found], 1)


def has_layers(module: nn.Module) -> bool:
    """Whether there is a weight in it to be pruned."""
    return any(isinstance(one, KINDS) for one in module.modules())


def signature(module: nn.Module) -> Signature:
    """The shapes of its layers: copies and averages of a network have the same."""
    return tuple(tuple(one.weight.shape) for one in module.modules() if isinstance(one, KINDS))


def fitting(module: nn.Module) -> str:
    """The method for a network of this size."""
    if sum(p.numel() for p in module.parameters()) <= WHOLE:
        return "brain-surgeon"
    sides = [side for shape in signature(module) for side in (shape[0], math.prod(shape[1:]))]
    return "kronecker" if max(sides) <= WIDEST else "sparse-gpt"


@dataclass
class Pruner:
    """Prunes networks.

    Attributes:
        inputs: What each network was given while it was trained, by its identity.
        method: As `thalweg.pruning.prune` takes it; None for what fits the network's size.
        sparsity: The share of zeros; None for the pattern's own.
        pattern: Of the zeros.
        pruned: What was pruned, by the network's identity.
    """

    inputs: dict[int, Inputs]
    method: str | None
    sparsity: float | None
    pattern: str | tuple[int, int]
    pruned: dict[int, tuple[nn.Module, Pruned]] = field(default_factory=dict)
    _masks: dict[int, list[tuple[str, Tensor]]] = field(default_factory=dict)

    def look(self, module: nn.Module) -> None:
        """Prune a network that was trained, or a copy of one, if it is not pruned as it is."""
        known = self._known(module)
        if known is not None and not self._holds(module):
            self._prune(module, known)

    def finish(self) -> None:
        """Prune what was never called."""
        if not self.pruned:
            for one in self.inputs.values():
                self.look(one.module)

    def _known(self, module: nn.Module) -> Inputs | None:
        if id(module) in self.inputs:
            return self.inputs[id(module)]
        shapes = signature(module)
        alike = (one for one in self.inputs.values() if signature(one.module) == shapes)
        return next(alike, None) if shapes else None

    def _holds(self, module: nn.Module) -> bool:
        masks = self._masks.get(id(module))
        if masks is None:
            return False
        return not any(bool(weight_of(module, path)[~kept].any()) for path, kept in masks)

    def _prune(self, module: nn.Module, known: Inputs) -> None:
        wrapped = Wrapped(module)
        with undisturbed(), modes([(one, False) for one in module.modules()]):
            data = [(batch, torch.zeros(samples(batch))) for batch in together(known)]
            found = prune(
                wrapped,
                self.sparsity,
                self.method or fitting(module),  # type: ignore[arg-type]
                data=data,
                pattern=self.pattern,
            )
            found.make_permanent()
        paths = [own(path) for path in found.zeros]
        self._masks[id(module)] = [(path, weight_of(module, path) != 0) for path in paths]
        self.pruned[id(module)] = (module, found)


def together(known: Inputs) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """The batches as one where that is known to mean the same: products of curvature cost less.

    That is where a network takes one tensor, whose first axis is that of the samples.
    """
    batches = list(known.batches)
    single = [args[0] for args, kwargs in batches if len(args) == 1 and not kwargs]
    tensors = [one for one in single if isinstance(one, Tensor) and one.dim()]
    shapes = {one.shape[1:] for one in tensors}
    if len(tensors) < len(batches) or len(shapes) != 1 or mixes_samples(known.module):
        return batches
    return [((torch.cat(tensors),), {})]


def mixes_samples(module: nn.Module) -> bool:
    """Whether its first axis may be time: whether a layer in it can be told so."""
    return any(hasattr(one, "batch_first") for one in module.modules())


def weight_of(module: nn.Module, path: str) -> Tensor:
    """The weight of a layer."""
    weight = module.get_submodule(path).weight
    if not isinstance(weight, Tensor):
        raise TypeError(f"{path}: its weight is no tensor")
    return weight.detach()


@contextmanager
def undisturbed() -> Iterator[None]:
    """Curvature amid a program's evaluation: with gradients, in full precision, drawing nothing."""
    with (
        torch.random.fork_rng(),
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast("cpu", enabled=False),
    ):
        yield


def own(path: str) -> str:
    """The path of a module in the network itself."""
    return path.removeprefix("module").removeprefix(".")


def layers(pruned: Iterable[Pruned]) -> list[dict[str, Any]]:
    """Each layer's weights and zeros, as plain data."""
    return [
        {
            "path": own(path),
            "weights": one.weights[path],
            "zeros": zeros,
        }
        for one in pruned
        for path, zeros in one.zeros.items()
    ]
