"""Every learning-rate schedule of PyTorch on our optimizers, and the two that PyTorch lacks."""

import inspect
import math
import warnings

import pytest
import torch
from optim_cases import gradients
from torch import nn
from torch.optim import lr_scheduler as torchs
from torch.optim.swa_utils import SWALR
from torch.testing import assert_close

from thalweg.optim import SGD, Adam, inverse_square_root, warmup_stable_decay

STEPS = 14
PAIRS = {"SGD": (SGD, torch.optim.SGD, {"momentum": 0.9}), "Adam": (Adam, torch.optim.Adam, {})}

SCHEDULES = {
    "LambdaLR": lambda o: torchs.LambdaLR(o, lambda step: 1 / (1 + step)),
    "MultiplicativeLR": lambda o: torchs.MultiplicativeLR(o, lambda step: 0.8 + 0.01 * step),
    "StepLR": lambda o: torchs.StepLR(o, 3, gamma=0.5),
    "MultiStepLR": lambda o: torchs.MultiStepLR(o, [2, 7], gamma=0.3),
    "ConstantLR": lambda o: torchs.ConstantLR(o, factor=0.2, total_iters=4),
    "LinearLR": lambda o: torchs.LinearLR(o, start_factor=0.1, total_iters=6),
    "ExponentialLR": lambda o: torchs.ExponentialLR(o, gamma=0.9),
    "PolynomialLR": lambda o: torchs.PolynomialLR(o, total_iters=9, power=2.0),
    "CosineAnnealingLR": lambda o: torchs.CosineAnnealingLR(o, 10, eta_min=1e-4),
    "CosineAnnealingWarmRestarts": lambda o: torchs.CosineAnnealingWarmRestarts(o, 3, T_mult=2),
    "CyclicLR": lambda o: torchs.CyclicLR(o, 1e-3, 1e-1, step_size_up=3, mode="triangular2"),
    "OneCycleLR": lambda o: torchs.OneCycleLR(o, 0.2, total_steps=STEPS + 1),
    "ReduceLROnPlateau": lambda o: torchs.ReduceLROnPlateau(o, factor=0.5, patience=1),
    "SWALR": lambda o: SWALR(o, swa_lr=1e-3, anneal_epochs=5),
    "SequentialLR": lambda o: torchs.SequentialLR(
        o, [torchs.LinearLR(o, 0.1, total_iters=4), torchs.CosineAnnealingLR(o, 8)], [4]
    ),
    "ChainedScheduler": lambda o: torchs.ChainedScheduler(
        [torchs.ConstantLR(o, 0.1, total_iters=3), torchs.ExponentialLR(o, 0.9)], o
    ),
}


def test_no_schedule_of_pytorch_is_missing():
    classes = [x for x in vars(torchs).values() if inspect.isclass(x)]
    found = {x.__name__ for x in classes if issubclass(x, torchs.LRScheduler)}
    assert {*SCHEDULES} == found - {"LRScheduler", "_LRScheduler"} | {"SWALR"}


def run(make, schedule, options):
    """The parameters and learning rates of a run, continued from a checkpoint in the middle."""
    p = nn.Parameter(torch.ones(5))
    rates = []
    optimizer = make([p], lr=0.1, **options)
    plan = schedule(optimizer)
    for step, (g,) in enumerate(gradients([(5,)], STEPS, dtype=torch.float32)):
        if step == STEPS // 2:
            states = optimizer.state_dict(), plan.state_dict()
            optimizer = make([p], lr=0.1, **options)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # PyTorch: a schedule before the first step
                plan = schedule(optimizer)
            optimizer.load_state_dict(states[0])
            plan.load_state_dict(states[1])
        p.grad = g
        optimizer.step()
        rates.append(float(optimizer.param_groups[0]["lr"]))
        plan.step(*([1.0] if isinstance(plan, torchs.ReduceLROnPlateau) else []))
    return p.detach(), rates


@pytest.mark.parametrize("ours, theirs, options", PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_move_our_optimizers_as_pytorchs(name, ours, theirs, options):
    ends = [run(make, SCHEDULES[name], options) for make in (ours, theirs)]
    assert_close(*ends, rtol=0, atol=0)
    assert len({*ends[0][1]}) > 1  # the rate did move


def rates(schedule, steps):
    """The learning rate that each step is made with."""
    optimizer = SGD([nn.Parameter(torch.ones(1))], lr=2.0)
    plan, seen = schedule(optimizer), []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        plan.step()
    return seen


FALLS = {
    "linear": [0.75, 0.5, 0.25, 0.0],
    "1-sqrt": [1 - math.sqrt(0.25), 1 - math.sqrt(0.5), 1 - math.sqrt(0.75), 0.0],
    "cosine": [(1 + math.cos(math.pi * x)) / 2 for x in (0.25, 0.5, 0.75, 1)],
}


@pytest.mark.parametrize("shape", FALLS)
@pytest.mark.parametrize("final", [0.0, 0.1])
def test_warm_up_stable_decay(shape, final):
    got = rates(lambda o: warmup_stable_decay(o, 4, 3, 4, shape=shape, final=final), 13)
    fall = [final + (1 - final) * x for x in FALLS[shape]]
    expected = [0.25, 0.5, 0.75, 1.0, *[1.0] * 3, *fall, final, final]
    assert got == pytest.approx([2 * x for x in expected])


def test_each_part_of_warm_up_stable_decay_may_be_left_out():
    assert rates(lambda o: warmup_stable_decay(o, 0, 2, 2), 4) == [2, 2, 1, 0]
    assert rates(lambda o: warmup_stable_decay(o, 2, 0, 2), 4) == [1, 2, 1, 0]
    assert rates(lambda o: warmup_stable_decay(o, 2, 2, 0, final=0.5), 6) == [1, 2, 2, 2, 1, 1]


def test_inverse_square_root_is_vaswanis():
    got = rates(lambda o: inverse_square_root(o, 5), 40)
    # Their equation 3, with a factor that makes its peak the learning rate.
    expected = [2 * math.sqrt(5) * min(t**-0.5, t * 5**-1.5) for t in range(1, 41)]
    assert got == pytest.approx(expected)
    assert max(got) == got[4] == 2


@pytest.mark.parametrize(
    "schedule",
    [
        lambda o: warmup_stable_decay(o, 3, 4, 5, shape="cosine", final=0.1),
        lambda o: inverse_square_root(o, 4),
    ],
)
def test_they_resume(schedule):
    whole = rates(schedule, 12)
    optimizer = SGD([nn.Parameter(torch.ones(1))], lr=2.0)
    plan = schedule(optimizer)
    for _ in range(6):
        optimizer.step()
        plan.step()
    saved = optimizer.state_dict(), plan.state_dict()
    again = SGD([nn.Parameter(torch.ones(1))], lr=2.0)
    plan = schedule(again)
    again.load_state_dict(saved[0])
    plan.load_state_dict(saved[1])
    seen = []
    for _ in range(6):
        seen.append(again.param_groups[0]["lr"])
        again.step()
        plan.step()
    assert seen == whole[6:]


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda o: warmup_stable_decay(o, -1, 2, 3), r"warmup=-1, stable=2, decay=3\): numbers of"),
        (lambda o: warmup_stable_decay(o, 1, 2, 3, shape="line"), "no such shape. Did you mean 'l"),
        (lambda o: inverse_square_root(o, 0), r"inverse_square_root\(warmup=0\): at least 1 step"),
    ],
)
def test_schedules_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make(SGD([nn.Parameter(torch.ones(1))]))
