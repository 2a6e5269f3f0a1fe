"""The program's models: the modules that hold what its optimizers train."""

from __future__ import annotations

import gc
from collections.abc import Sequence

import torch
from torch import nn
from torch.optim.optimizer import Optimizer


def roots_of(params: Sequence[torch.Tensor]) -> list[nn.Module]:
    """The modules with one of these parameters that no other such module holds, largest first.

    Goes through every living object: tens of milliseconds.
    """
    wanted = {id(one) for one in params}
    living = [one for one in gc.get_objects() if _is_module(one)]
    holding = [one for one in living if any(id(p) in wanted for p in one.parameters())]
    inside = {id(part) for one in holding for part in one.modules() if part is not one}
    found = [one for one in holding if id(one) not in inside]
    return sorted(found, key=lambda one: -sum(p.numel() for p in one.parameters()))


def _is_module(one: object) -> bool:
    return issubclass(type(one), nn.Module) and "_parameters" in vars(one)


def living_optimizers() -> list[Optimizer]:
    """Every optimizer that there is, oldest first; what looks like one only to `isinstance` not.

    Nor what stands around another one and passes its steps on, as trainers' own wrappers do: it was
    never constructed as an optimizer, so that PyTorch tells nobody of its steps.
    """
    return [one for one in gc.get_objects() if _tells_of_steps(type(one))]


def _tells_of_steps(kind: type) -> bool:
    return issubclass(kind, Optimizer) and getattr(kind.step, "hooked", False)


def path_of(module: nn.Module, roots: Sequence[nn.Module]) -> str:
    """A module's name within the program's models, with its class: ``encoder.norm (LayerNorm)``."""
    kind = type(module).__name__
    for root in roots:
        for path, one in root.named_modules():
            if one is module:
                return f"{path} ({kind})" if path else kind
    return kind


def names_in(roots: Sequence[nn.Module], params: Sequence[torch.Tensor]) -> list[str]:
    """The parameters' names within the models, else their shapes."""
    known = {id(p): name for root in reversed(roots) for name, p in root.named_parameters()}
    return [known.get(id(one), f"tensor{list(one.shape)}") for one in params]
