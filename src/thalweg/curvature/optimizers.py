r"""What an optimizer does to a gradient, read from its settings and its state after a step.

An optimizer that divides by a diagonal P (`operators.optimizer_preconditioner`) is gradient
descent, momentum, Nesterov's method or Adam in coordinates stretched by P^{1/2}. Of Adam's P the
factor 1 - b1^t is left out: it is the first steps' alone, and `curvature.learning_rate` speaks of
the long run. SGD's dampening, of which its first buffer is free, stretches by 1 / (1 - dampening).

A weight decay that enters the gradient adds to the loss, decay |w|^2 / 2; one that does not
(AdamW's) is left out: it is small against what the limits are made of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from torch import Tensor
from torch.optim.optimizer import Optimizer

from thalweg.curvature.methods import Name
from thalweg.operators import optimizer_preconditioner

HOMES = ("torch.optim", "thalweg.optim")
ADAMS = ("Adam", "AdamW", "RAdam", "Adamax")
KNOWN = ("SGD", *ADAMS, "RMSprop", "Adagrad", "Adadelta")
# Settings that some optimizers have, at the values at which the formulas hold.
PLAIN: Mapping[str, Any] = {
    "maximize": False,
    "eps_placement": "outside",
    "amsgrad_convention": "torch",
    "lr_inside_momentum": False,
    "bias_correction": False,
}
Group = Mapping[str, Any]


class NotRead(Exception):
    """The optimizer does something that no formula here describes; the message says what."""


@final
@dataclass(frozen=True, eq=False)
class InUse:
    """The method that an optimizer is.

    Attributes:
        method: the recursion that its steps obey.
        momentum: of the method.
        rate: the learning rate in use, of the first group; P makes up for the others'.
        diagonal: P, flat, shape (n,); None where it is all ones.
        decay: that enters the gradient, by parameter.
    """

    method: Name
    momentum: float
    rate: float
    diagonal: Tensor | None
    decay: dict[str, float]


def in_use(optimizer: Optimizer, params: Mapping[str, Tensor]) -> InUse:
    """The method that `optimizer` is, for `params`, each of which it moves.

    Raises:
        NotRead: it does something else; the message says what.
    """
    kind = kind_of(optimizer)
    groups = {name: group_of(optimizer, p) for name, p in params.items()}
    check_plain(kind, list(groups.values()))
    settings = {settled(kind, group) for group in groups.values()}
    if len(settings) > 1:
        raise NotRead("its groups differ in momentum")
    ((method, momentum, stretch),) = settings
    rate = float(optimizer.param_groups[0]["lr"])
    if rate == 0:
        raise NotRead("its first group does not learn")
    diagonal = diagonal_of(optimizer, kind, params, momentum) * stretch
    ones = bool((diagonal == 1).all())
    decay = {name: decay_of(kind, group) for name, group in groups.items()}
    return InUse(method, momentum, rate, None if ones else diagonal, decay)


def kind_of(optimizer: Optimizer) -> str:
    """The optimizer among those known here that it is, or a subclass of."""
    for each in type(optimizer).__mro__:
        if each.__name__ in KNOWN and each.__module__.startswith(HOMES):
            return each.__name__
    raise NotRead(f"{type(optimizer).__name__} is no method with a known limit")


def group_of(optimizer: Optimizer, param: Tensor) -> Group:
    """The group of a parameter."""
    for group in optimizer.param_groups:
        if any(p is param for p in group["params"]):
            return dict(group)
    raise NotRead("a parameter is in none of its groups")


def moved(optimizer: Optimizer) -> set[int]:
    """Identities of the parameters that the optimizer moves: those of groups that learn."""
    groups = [group for group in optimizer.param_groups if float(group["lr"]) != 0]
    return {id(p) for group in groups for p in group["params"]}


def check_plain(kind: str, groups: Sequence[Group]) -> None:
    """Raise NotRead on a setting that changes the formula."""
    for group in groups:
        for name, value in PLAIN.items():
            if group.get(name, value) != value:
                raise NotRead(f"{kind} with {name}={group[name]!r} has no formula here")


def settled(kind: str, group: Group) -> tuple[Name, float, float]:
    """The recursion, its momentum, and what stretches P."""
    if kind in ADAMS:
        return "adam", float(group["betas"][0]), 1.0
    momentum = float(group.get("momentum", 0.0))
    if momentum == 0:
        return "gradient-descent", 0.0, 1.0
    stretch = 1 / (1 - float(group.get("dampening", 0.0)))
    return ("nesterov" if group.get("nesterov") else "momentum"), momentum, stretch


def diagonal_of(
    optimizer: Optimizer, kind: str, params: Mapping[str, Tensor], momentum: float
) -> Tensor:
    """P in the long run."""
    try:
        diagonal = optimizer_preconditioner(optimizer, params)
    except ValueError as error:
        raise NotRead(str(error).rstrip(".")) from error
    if kind not in ADAMS:
        return diagonal
    step = float(optimizer.state[next(iter(params.values()))]["step"])
    correction: float = 1 - momentum**step
    return diagonal / correction


def decay_of(kind: str, group: Group) -> float:
    """The decay that enters the gradient; 0 where it moves the parameters past it."""
    apart = kind == "AdamW" or bool(group.get("decoupled_weight_decay", False))
    return 0.0 if apart else float(group.get("weight_decay", 0.0))
