"""Learning-rate schedulers: all of `torch.optim.lr_scheduler` that need no more than a rate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch.optim import Optimizer, lr_scheduler

from thalweg.testing.contract import Broken, law
from thalweg.testing.demands import brief, demand, must_be_equal, must_differ
from thalweg.testing.laws.groups import rate
from thalweg.testing.subject import Subject, values

PLANNED = 6  # steps

# Each makes a scheduler of an optimizer whose rate is lr.
SCHEDULERS: Mapping[str, Callable[[Optimizer, float], Any]] = {
    "LambdaLR": lambda o, lr: lr_scheduler.LambdaLR(o, lambda step: 1 / (1 + step)),
    "MultiplicativeLR": lambda o, lr: lr_scheduler.MultiplicativeLR(o, lambda step: 0.5),
    "StepLR": lambda o, lr: lr_scheduler.StepLR(o, 2, gamma=0.5),
    "MultiStepLR": lambda o, lr: lr_scheduler.MultiStepLR(o, [1, 3], gamma=0.5),
    "ConstantLR": lambda o, lr: lr_scheduler.ConstantLR(o, factor=0.5, total_iters=3),
    "LinearLR": lambda o, lr: lr_scheduler.LinearLR(o, start_factor=0.25, total_iters=4),
    "ExponentialLR": lambda o, lr: lr_scheduler.ExponentialLR(o, gamma=0.5),
    "PolynomialLR": lambda o, lr: lr_scheduler.PolynomialLR(o, total_iters=PLANNED),
    "CosineAnnealingLR": lambda o, lr: lr_scheduler.CosineAnnealingLR(o, PLANNED),
    "CosineAnnealingWarmRestarts": lambda o, lr: lr_scheduler.CosineAnnealingWarmRestarts(o, 3),
    "OneCycleLR": lambda o, lr: lr_scheduler.OneCycleLR(
        o, lr, total_steps=PLANNED + 1, cycle_momentum=has_momentum(o)
    ),
    "CyclicLR": lambda o, lr: lr_scheduler.CyclicLR(
        o, lr / 10, lr, step_size_up=2, cycle_momentum=has_momentum(o)
    ),
    "SequentialLR": lambda o, lr: lr_scheduler.SequentialLR(
        o,
        [lr_scheduler.ConstantLR(o, 0.5), lr_scheduler.ExponentialLR(o, 0.5)],
        milestones=[2],
    ),
    "ChainedScheduler": lambda o, lr: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ExponentialLR(o, 0.5), lr_scheduler.StepLR(o, 2)]
    ),
    "ReduceLROnPlateau": lambda o, lr: lr_scheduler.ReduceLROnPlateau(o, patience=0),
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
    constant = _run(subject, lambda optimizer, at: None)
    for name, make in SCHEDULERS.items():
        try:
            _moves(subject, make, lr, constant)
        except Broken as broken:
            raise Broken(f"{name}: {broken}") from None
        except Exception as error:
            raise Broken(f"{name}: {brief(error)}") from error


def _moves(
    subject: Subject, make: Callable[[Optimizer, float], Any], lr: float, constant: Any
) -> None:
    plan: list[list[dict[str, Any]]] = []  # the settings of every step, as the scheduler left them
    attached: list[Any] = []

    def follow(optimizer: Optimizer, at: int) -> None:
        if not attached:
            attached.append(make(optimizer, lr))
        plan.append([{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups])

    def by_hand(optimizer: Optimizer, at: int) -> None:
        for group, settings in zip(optimizer.param_groups, plan[at], strict=True):
            group.update(settings)

    def onwards() -> None:
        (scheduler,) = attached
        takes_loss = isinstance(scheduler, lr_scheduler.ReduceLROnPlateau)
        scheduler.step(1.0) if takes_loss else scheduler.step()

    scheduled = _run(subject, follow, onwards)
    rates = [settings[0]["lr"] for settings in plan]
    demand(len(set(map(float, rates))) > 1, f"the rate stayed at {float(rates[0]):.3g}")
    must_be_equal(scheduled, _run(subject, by_hand), "against the same rates set by hand")
    must_differ(scheduled, constant, "makes no difference")


def _run(
    subject: Subject,
    before: Callable[[Optimizer, int], None],
    after: Callable[[], None] = lambda: None,
) -> Any:
    params = subject.parameters()
    optimizer = subject.build(params)
    for at in range(PLANNED):
        before(optimizer, at)
        subject.step(optimizer, subject.gradients(params, at))
        after()
    return values(params)
