"""Each limit against PyTorch's own optimizer, stepped on a quadratic just below and just above."""

import math

import pytest
import torch

from thalweg.curvature import adam_largest_lr, adam_limit, sgd_largest_lr, sgd_limit

SGD = [
    {},
    {"weight_decay": 2.0},
    {"momentum": 0.5},
    {"momentum": 0.9},
    {"momentum": 0.9, "dampening": 0.5},
    {"momentum": 0.9, "weight_decay": 1.5},
    {"momentum": 0.5, "nesterov": True},
    {"momentum": 0.9, "nesterov": True},
    {"momentum": 0.9, "nesterov": True, "weight_decay": 1.0},
    {"dampening": 0.5},  # without momentum torch ignores it
]
ADAM = [{"beta1": 0.9}, {"beta1": 0.0}, {"beta1": 0.5}, {"beta1": 0.9, "weight_decay": 1.0}]
LR = 0.1


def distance_after(optimizer, x, curvature, steps=3000):
    """|x| after descending curvature x^2 / 2 from 1e-3; stops once it has grown a thousandfold."""
    for _ in range(steps):
        x.grad = curvature * x.detach()
        optimizer.step()
        if float(x.detach().abs()) > 1:
            break
    return float(x.detach().abs())


def start():
    return torch.nn.Parameter(torch.tensor([1e-3], dtype=torch.float64))


def sgd(curvature, arguments):
    x = start()
    return distance_after(torch.optim.SGD([x], lr=LR, **arguments), x, curvature)


def adam(curvature, beta1, weight_decay=0.0, v=0.04):
    """AdamW with its second moment held at v: b2 rounds every new square away."""
    x = start()
    optimizer = torch.optim.AdamW(
        [x], lr=LR, betas=(beta1, 1 - 1e-13), eps=0.0, weight_decay=weight_decay
    )
    optimizer.state[x] = {
        "step": torch.tensor(1e16),
        "exp_avg": torch.zeros_like(x),
        "exp_avg_sq": torch.full_like(x, v),
    }
    return distance_after(optimizer, x, curvature * math.sqrt(v))


@pytest.mark.parametrize("arguments", SGD, ids=str)
def test_sgd_is_stable_below_and_not_above(arguments):
    limit = sgd_limit(LR, **arguments)
    assert sgd(0.98 * limit, arguments) < 1e-3
    assert sgd(1.02 * limit, arguments) > 1


@pytest.mark.parametrize("arguments", ADAM, ids=str)
def test_adam_is_stable_below_and_not_above(arguments):
    limit = adam_limit(LR, **arguments)
    assert adam(0.98 * limit, **arguments) < 1e-3
    assert adam(1.02 * limit, **arguments) > 1


def test_the_textbook_numbers():
    assert sgd_limit(0.5) == 4
    assert sgd_limit(0.1, momentum=0.9) == pytest.approx(38)
    assert adam_limit(1.0) == pytest.approx(38)
    assert sgd_limit(1.0, momentum=0.9, nesterov=True) == pytest.approx(3.8 / 2.8)


@pytest.mark.parametrize("arguments", SGD, ids=str)
def test_sgd_largest_rate_is_the_inverse(arguments):
    assert sgd_largest_lr(sgd_limit(LR, **arguments), **arguments) == pytest.approx(LR)


@pytest.mark.parametrize("arguments", ADAM, ids=str)
def test_adam_largest_rate_is_the_inverse(arguments):
    assert adam_largest_lr(adam_limit(LR, **arguments), **arguments) == pytest.approx(LR)


@pytest.mark.parametrize("curvature", [0.0, -3.0])
def test_without_curvature_no_rate_overshoots(curvature):
    assert sgd_largest_lr(curvature) == math.inf
    assert adam_largest_lr(curvature) == math.inf


REFUSALS = {
    "zero lr": (lambda: sgd_limit(0.0), r"sgd_limit\(lr=0\.0\)"),
    "nan lr": (lambda: adam_limit(math.nan), r"adam_limit\(lr=nan\)"),
    "momentum": (lambda: sgd_limit(1.0, momentum=1.0), r"momentum=1\.0.*below 1"),
    "dampening": (lambda: sgd_limit(1.0, momentum=0.5, dampening=1.0), "dampening=1.0"),
    "beta1": (lambda: adam_limit(1.0, beta1=-0.1), r"beta1=-0\.1"),
    "decay": (lambda: sgd_largest_lr(1.0, weight_decay=-1.0), r"sgd_largest_lr\(weight_decay=-1"),
    "nesterov alone": (lambda: sgd_limit(1.0, nesterov=True), "needs a momentum above 0"),
    "curvature": (lambda: adam_largest_lr(math.inf), r"curvature=inf"),
}


@pytest.mark.parametrize(("call", "says"), REFUSALS.values(), ids=REFUSALS)
def test_refuses(call, says):
    with pytest.raises(ValueError, match=says):
        call()
