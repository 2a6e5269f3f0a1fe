"""Learning-rate schedulers: all of `torch.optim.lr_scheduler` that need no more than a rate."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor
from torch.optim import Optimizer, lr_scheduler

from thalweg.testing.contract import Broken, law
from thalweg.testing.demands import brief, demand, must_be_equal, must_differ
from thalweg.testing.laws.groups import rate
from thalweg.testing.subject import Subject, values

SETTINGS = ("lr", "momentum", "betas")  # what schedulers set

Make = Callable[[Optimizer, float, int], Any]

# Each makes a scheduler of an optimizer, its rate and the number of steps that will be taken.
SCHEDULERS: Mapping[str, Make] = {
    "LambdaLR": lambda o, lr, n: lr_scheduler.LambdaLR(o, lambda step: 1 / (1 + step)),
    "MultiplicativeLR": lambda o, lr, n: lr_scheduler.MultiplicativeLR(o, lambda step: 0.5),
    "StepLR": lambda o, lr, n: lr_scheduler.StepLR(o, 2, gamma=0.5),
    "MultiStepLR": lambda o, lr, n: lr_scheduler.MultiStepLR(o, [2, 5], gamma=0.5),
    "ConstantLR": lambda o, lr, n: lr_scheduler.ConstantLR(o, factor=0.5, total_iters=n - 1),
    "LinearLR": lambda o, lr, n: lr_scheduler.LinearLR(o, start_factor=0.25, total_iters=n),
    "ExponentialLR": lambda o, lr, n: lr_scheduler.ExponentialLR(o, gamma=0.5),
    "PolynomialLR": lambda o, lr, n: lr_scheduler.PolynomialLR(o, total_iters=n),
    "CosineAnnealingLR": lambda o, lr, n: lr_scheduler.CosineAnnealingLR(o, n),
    "CosineAnnealingWarmRestarts": lambda o, lr, n: lr_scheduler.CosineAnnealingWarmRestarts(o, 3),
    "OneCycleLR": lambda o, lr, n: lr_scheduler.OneCycleLR(
        o, lr, total_steps=n + 1, cycle_momentum=has_momentum(o)
    ),
    "CyclicLR": lambda o, lr, n: lr_scheduler.CyclicLR(
        o, lr / 10, lr, step_size_up=2, cycle_momentum=has_momentum(o)
    ),
    "SequentialLR": lambda o, lr, n: lr_scheduler.SequentialLR(
        o,
        [lr_scheduler.ConstantLR(o, 0.5), lr_scheduler.ExponentialLR(o, 0.5)],
        milestones=[2],
    ),
    "ChainedScheduler": lambda o, lr, n: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ExponentialLR(o, 0.5), lr_scheduler.StepLR(o, 2)]
    ),
    "ReduceLROnPlateau": lambda o, lr, n: lr_scheduler.ReduceLROnPlateau(o, patience=0),
}


def has_momentum(optimizer: Optimizer) -> bool:
    """Whether the schedulers that cycle momentum find one: they look at the defaults."""
    return "momentum" in optimizer.defaults or "betas" in optimizer.defaults


@law
def schedulers(subject: Subject) -> None:
    """Every scheduler of `torch.optim.lr_scheduler` can be attached, and what it sets acts.

    A schedule that is attached and has no effect looks like a bad schedule.
    """
    lr = rate(subject)
    constant = subject.ends()
    for name, make in SCHEDULERS.items():
        try:
            ends, plan = _scheduled(subject, make, lr)
            demand(len(set(plan_of_rates(plan))) > 1, "the rate did not change")
            must_be_equal(ends, _by_hand(subject, plan), "against the same rates set by hand")
            must_differ(ends, constant, "makes no difference")
        except Broken as broken:
            raise Broken(f"{name}: {broken}") from None
        except Exception as error:  # whatever the optimizer under test raises
            raise Broken(f"{name}: {brief(error)}") from error


Plan = list[list[dict[str, Any]]]  # for every step, the settings of every group


def plan_of_rates(plan: Plan) -> list[float]:
    """The learning rate of the first group at every step."""
    return [float(settings[0]["lr"]) for settings in plan]


def _scheduled(subject: Subject, make: Make, lr: float) -> tuple[list[Tensor], Plan]:
    """A run under a scheduler, and the settings that it made for every step."""
    params = subject.parameters()
    optimizer = subject.build(params)
    scheduler = make(optimizer, lr, subject.steps)
    takes_loss = isinstance(scheduler, lr_scheduler.ReduceLROnPlateau)
    plan: Plan = []
    for at in range(subject.steps):
        plan.append([_settings(group) for group in optimizer.param_groups])
        subject.step(optimizer, subject.gradients(params, at))
        scheduler.step(1.0) if takes_loss else scheduler.step()
    return values(params), plan


def _settings(group: dict[str, Any]) -> dict[str, Any]:
    """What a scheduler may have set in a group."""
    return {name: copy.copy(group[name]) for name in SETTINGS if name in group}


def _by_hand(subject: Subject, plan: Plan) -> list[Tensor]:
    """The same run with these settings put into the groups before every step."""
    params = subject.parameters()
    optimizer = subject.build(params)
    for at, of_groups in enumerate(plan):
        for group, settings in zip(optimizer.param_groups, of_groups, strict=True):
            group.update(settings)
        subject.step(optimizer, subject.gradients(params, at))
    return values(params)
