"""Which parameters are weights: what is penalized, decayed and bounded unless told otherwise.

A bias shifts a unit and a normalization's scale undoes itself in the layer that follows; to draw
them to zero takes fit away and guards against little (Goodfellow, Bengio & Courville, *Deep
Learning*, section 7.1). A parameter counts as a weight if it has two dimensions or more, is not
called a bias, and does not belong to a normalization layer.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import Tensor, nn

from thalweg.training.normalization.places import NORMALIZATIONS


class Place(NamedTuple):
    """Where a parameter lives: `getattr(module, name)`."""

    module: nn.Module
    name: str
    parameter: nn.Parameter


def places(model: nn.Module) -> Iterator[Place]:
    """Every weight of a model with the module that owns it; a shared one once."""
    seen: set[int] = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) not in seen and is_weight(module, name, parameter):
                seen.add(id(parameter))
                yield Place(module, name, parameter)


def is_weight(module: nn.Module, name: str, parameter: Tensor) -> bool:
    """Whether a module's parameter is a weight: no bias, and no part of a normalization."""
    normalizes = isinstance(module, NORMALIZATIONS) or "Norm" in type(module).__name__
    return parameter.dim() >= 2 and "bias" not in name and not normalizes


def weights(model: nn.Module) -> list[nn.Parameter]:
    """The weights of a model, in its order, without biases and normalization layers.

    Raises:
        ValueError: there are none.
    """
    found = [place.parameter for place in places(model)]
    if not found:
        raise ValueError(
            f"weights({type(model).__name__}): no parameter with two dimensions or more outside "
            "normalization layers. Name the parameters yourself."
        )
    return found


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two parameter groups for an optimizer: weights, which decay, and the others, which do not.

        optimizer = torch.optim.AdamW(decay_groups(model, 0.01), lr=1e-3)

    Raises:
        ValueError: `weight_decay` is negative.
    """
    if weight_decay < 0:
        raise ValueError(f"decay_groups(model, {weight_decay}): a decay is 0 or more.")
    decaying = {id(place.parameter) for place in places(model)}
    kinds: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for parameter in model.parameters():
        kinds[id(parameter) in decaying].append(parameter)
    return [
        {"params": parameters, "weight_decay": weight_decay if decays else 0.0}
        for decays, parameters in kinds.items()
        if parameters
    ]
