r"""The diagonal that an optimizer divides by, read from its state.

    step = lr P^{-1} m,        m the gradient, or the optimizer's uncorrected momentum

    SGD              P = 1
    Adam, AdamW      P = (1 - b1^t) ( sqrt( v / (1 - b2^t) ) + eps ),  v the largest for amsgrad
    RAdam            P = (1 - b1^t) ( sqrt( v ) + eps ) / ( sqrt( 1 - b2^t ) r_t );  early 1 - b1^t
    Adamax           P = (1 - b1^t) u
    NAdam            P = sqrt( v / (1 - b2^t) ) + eps
    RMSprop          P = sqrt( v ) + eps;  sqrt( v - m^2 ) + eps where centered
    Adagrad          P = (1 + (t - 1) decay) ( sqrt( sum ) + eps )
    Adadelta         P = sqrt( (v + eps) / (u + eps) ),  u the mean square of its own steps

NAdam's m is its mixture of gradient and momentum, each with the correction of its own. Adadelta's u
has the step already in it: its P is what the next step divides by, for a gradient that leaves v.

With it `Preconditioned` has the curvature that decides whether the optimizer's steps are stable
(Cohen et al., arXiv 2207.14484, section 2). Rules whose step is not lr P^{-1} m with a diagonal P
(those that precondition by matrices) are refused.

Optimizers are known by the name of their class or a class that it derives from, and read by
PyTorch's names for state and settings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from thalweg.operators.layout import Layout
from thalweg.operators.preconditioned import adam_preconditioner

State = Mapping[str, Any]
Group = Mapping[str, Any]


def optimizer_preconditioner(
    optimizer: torch.optim.Optimizer, params: Mapping[str, Tensor]
) -> Tensor:
    """The diagonal P, flat, shape (n,), in the order of `params`.

    Args:
        optimizer: after at least one step.
        params: names to the parameters that it steps, as the Hessian has them. Where groups have
            learning rates of their own, P is for the first group's.

    Raises:
        ValueError: the optimizer's step is not lr P^{-1} m, a parameter is not one of its, or it
            has not stepped it yet.
    """
    read = reader(optimizer)
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    rate = float(optimizer.param_groups[0]["lr"])
    parts = {}
    for name, p in params.items():
        if id(p) not in groups:
            raise ValueError(f"params[{name!r}] is none of the optimizer's parameters.")
        state, group = optimizer.state.get(p, {}), groups[id(p)]
        if not state and read is not sgd:
            raise ValueError(f"the optimizer has not stepped params[{name!r}] yet; step it first.")
        parts[name] = (rate / float(group["lr"])) * read(p.detach(), state, group)
    return Layout.of(params).flatten(parts)


def sgd(p: Tensor, state: State, group: Group) -> Tensor:
    """1."""
    return torch.ones_like(p)


def adam(p: Tensor, state: State, group: Group) -> Tensor:
    """Adam's and AdamW's."""
    second = state["max_exp_avg_sq" if group.get("amsgrad") else "exp_avg_sq"]
    step, betas = int(state["step"]), group["betas"]
    return adam_preconditioner(second, step=step, betas=betas, eps=group["eps"])


def radam(p: Tensor, state: State, group: Group) -> Tensor:
    """RAdam's: not adaptive until the variance of the second moment is bounded (rho_t > 5)."""
    t = int(state["step"])
    b1, b2 = map(float, group["betas"])
    last = 2 / (1 - b2) - 1
    rho = last - 2 * t * b2**t / (1 - b2**t)
    if rho <= 5:
        return torch.full_like(p, 1 - b1**t)
    r = math.sqrt((rho - 4) * (rho - 2) * last / ((last - 4) * (last - 2) * rho))
    denominator: Tensor = state["exp_avg_sq"].sqrt() + group["eps"]
    return (1 - b1**t) * denominator / (math.sqrt(1 - b2**t) * r)


def adamax(p: Tensor, state: State, group: Group) -> Tensor:
    """Adamax's; its eps is in u."""
    correction: float = 1 - group["betas"][0] ** int(state["step"])
    return correction * state["exp_inf"]  # type: ignore[no-any-return]


def nadam(p: Tensor, state: State, group: Group) -> Tensor:
    """NAdam's, whose mixture has the correction of the momentum."""
    correction: float = 1 - group["betas"][1] ** int(state["step"])
    return (state["exp_avg_sq"] / correction).sqrt() + group["eps"]  # type: ignore[no-any-return]


def adadelta(p: Tensor, state: State, group: Group) -> Tensor:
    """Adadelta's, without units but those of the parameter."""
    eps = group["eps"]
    return ((state["square_avg"] + eps) / (state["acc_delta"] + eps)).sqrt()  # type: ignore[no-any-return]


def rmsprop(p: Tensor, state: State, group: Group) -> Tensor:
    """RMSprop's, with the variance instead of the second moment where it is centered."""
    second = state["square_avg"]
    variance = second - state["grad_avg"] ** 2 if group["centered"] else second
    return variance.sqrt() + group["eps"]  # type: ignore[no-any-return]


def adagrad(p: Tensor, state: State, group: Group) -> Tensor:
    """Adagrad's, with the decay of its learning rate."""
    slower = 1 + (int(state["step"]) - 1) * group["lr_decay"]
    return slower * (state["sum"].sqrt() + group["eps"])  # type: ignore[no-any-return]


READERS: Mapping[str, Callable[[Tensor, State, Group], Tensor]] = {
    "SGD": sgd,
    "RAdam": radam,
    "Adam": adam,
    "AdamW": adam,
    "Adamax": adamax,
    "NAdam": nadam,
    "RMSprop": rmsprop,
    "Adagrad": adagrad,
    "Adadelta": adadelta,
}


def reader(optimizer: torch.optim.Optimizer) -> Callable[[Tensor, State, Group], Tensor]:
    """What reads the diagonal of this kind of optimizer.

    Raises:
        ValueError: nothing does.
    """
    for kind in type(optimizer).__mro__:
        if kind.__name__ in READERS:
            return READERS[kind.__name__]
    raise ValueError(
        f"{type(optimizer).__name__}: its step is not known to be lr P^-1 m with a diagonal P read "
        f"from its state; known are {', '.join(READERS)}. Preconditioned takes any diagonal."
    )
