"""The question that an optimizer of a model asks: its own method, on what it moves, with its decay.

A weight decay that enters the gradient is a penalty on the loss. Parameters that the optimizer does
not move are constants.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer

from thalweg.curvature.optimizers import InUse, NotRead, in_use, moved
from thalweg.operators.distributed import plain
from thalweg.operators.problem import selected

Penalty = Callable[[dict[str, Tensor]], Tensor]


def own_method(
    call: str, optimizer: Optimizer, model: object, options: Mapping[str, Any]
) -> tuple[InUse, dict[str, Any]]:
    """The method of `optimizer`, and the options under which the model's Hessian is what it sees.

    Args:
        call: what to call the function in messages.
        optimizer: of the model; an adaptive one after at least one step.
        model: the model.
        options: for `Hessian.of_model`. `params` chooses among those that the optimizer moves.

    Raises:
        TypeError: `model` is none, or the optimizer is none.
        ValueError: the optimizer is no method that is known here, or moves none of the parameters.
    """
    if not isinstance(optimizer, Optimizer) or not isinstance(model, nn.Module):
        raise TypeError(
            f"{call}({type(model).__name__}, optimizer={type(optimizer).__name__}): give "
            "(model, loss, data) and the torch.optim.Optimizer of that model's parameters. For an "
            "operator, give method=, momentum= and diagonal=."
        )
    known = dict(plain(model).named_parameters())
    learning = moved(optimizer)
    places = {
        name: place
        for name, place in selected(plain(model), options.get("params")).items()
        if id(known[name]) in learning
    }
    kind = type(optimizer).__name__
    if not places:
        raise ValueError(f"{call}(optimizer={kind}): it moves none of the model's parameters.")
    try:
        own = in_use(optimizer, {name: known[name] for name in places})
    except NotRead as error:
        raise ValueError(
            f"{call}(optimizer={kind}): {error}. Give method=, momentum= and diagonal= instead."
        ) from error
    penalty = with_decay(options.get("penalty"), own.decay)
    return own, {**options, "params": places, "penalty": penalty}


def with_decay(penalty: Penalty | None, decay: Mapping[str, float]) -> Penalty | None:
    """`penalty` and that of a weight decay; None if neither is there."""
    active = {name: rate for name, rate in decay.items() if rate}
    if not active:
        return penalty
    return lambda params: decay_penalty(params, active) + (penalty(params) if penalty else 0.0)


def decay_penalty(params: Mapping[str, Tensor], decay: Mapping[str, float]) -> Tensor:
    """What a weight decay adds to the loss, sum decay |w|^2 / 2."""
    terms = [rate / 2 * params[name].square().sum() for name, rate in decay.items()]
    return torch.stack(terms).sum()
