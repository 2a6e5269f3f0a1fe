"""The forms of momentum and of Nesterov's look-ahead: which are one trajectory, which are not."""

import pytest
import torch
from optim_cases import after, stepped
from torch import nn
from torch.testing import assert_close

from thalweg.optim import RULES, SGD, Momentum, Nesterov, averaged, proximal

NEAR = {"rtol": 1e-10, "atol": 1e-12}
CURVATURES = torch.tensor([1.0, 10.0, 60.0], dtype=torch.float64)


def quadratic(p):
    return (CURVATURES * p**2).sum() / 2


def rosenbrock(p):
    return (10 * (p[1:] - p[:-1] ** 2) ** 2 + (1 - p[:-1]) ** 2).sum()


LOSSES = {"quadratic": quadratic, "Rosenbrock": rosenbrock}
START = torch.tensor([-1.2, 1.0, 0.5], dtype=torch.float64)
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def gradient(loss, at):
    return torch.func.grad(loss)(at)


def descend(make, loss, rates, read=lambda optimizer, p: p):
    """What `read` sees of the optimizer after each step on a loss, at these learning rates."""
    p = nn.Parameter(START.clone())
    optimizer, seen = make([p]), []
    for lr in rates:
        optimizer.param_groups[0]["lr"] = lr
        p.grad = gradient(loss, p.detach())
        optimizer.step()
        seen.append(read(optimizer, p).detach().clone())
    return torch.stack(seen)


def as_taught(loss, rates, c, ahead):
    """dw <- -a grad E(w + ahead dw) + c dw, w <- w + dw: the points, and those looked ahead at."""
    w, dw, points, looked = START.clone(), torch.zeros(3, dtype=torch.float64), [], []
    for lr in rates:
        dw = -lr * gradient(loss, w + ahead * dw) + c * dw
        w = w + dw
        points.append(w)
        looked.append(w + ahead * dw)
    return torch.stack(points), torch.stack(looked)


CONSTANT = [5e-3] * 60
FALLING = [5e-3 / (1 + step // 20) for step in range(60)]


@every_loss
@pytest.mark.parametrize("rates", [CONSTANT, FALLING], ids=["constant", "falling"])
def test_momentum_is_as_taught(loss, rates):
    taught, _ = as_taught(loss, rates, c=0.9, ahead=0.0)
    assert_close(descend(lambda ps: Momentum(ps, momentum=0.9), loss, rates), taught, **NEAR)


@every_loss
@pytest.mark.parametrize("rates", [CONSTANT, FALLING], ids=["constant", "falling"])
def test_nesterov_holds_the_point_ahead_and_keeps_the_point(loss, rates):
    make = lambda ps: Nesterov(ps, momentum=0.9)
    points, looked = as_taught(loss, rates, c=0.9, ahead=0.9)
    iterate = lambda optimizer, p: optimizer.state[p]["iterate"]
    assert_close(descend(make, loss, rates), looked, **NEAR)
    assert_close(descend(make, loss, rates, iterate), points, **NEAR)


@every_loss
def test_the_shifted_form_is_the_look_ahead_form_seen_from_ahead(loss):
    ends = [
        descend(lambda ps, make=make, more=more: make(ps, momentum=0.9, **more), loss, CONSTANT)
        for make, more in ((Nesterov, {}), (SGD, {"nesterov": True}))
    ]
    assert_close(*ends, **NEAR)


@every_loss
def test_momentum_is_the_same_inside_and_outside_while_the_rate_is(loss):
    make = lambda kind: lambda ps: kind(ps, momentum=0.9)
    assert_close(
        descend(make(Momentum), loss, CONSTANT), descend(make(SGD), loss, CONSTANT), **NEAR
    )
    inside, outside = descend(make(Momentum), loss, FALLING), descend(make(SGD), loss, FALLING)
    assert_close(inside[:20], outside[:20], **NEAR)
    assert not torch.allclose(inside[20], outside[20], rtol=1e-3)


def test_a_model_is_evaluated_at_the_point_not_ahead_of_it():
    p = nn.Parameter(START.clone())
    optimizer = Nesterov([p], lr=5e-3)
    for _ in range(3):
        p.grad = gradient(quadratic, p.detach())
        optimizer.step()
    ahead = p.detach().clone()
    with averaged(optimizer):
        assert_close(p.detach(), optimizer.state[p]["iterate"], rtol=0, atol=0)
        assert not torch.equal(p.detach(), ahead)
    assert_close(p.detach(), ahead, rtol=0, atol=0)


def test_proximal_decay_lands_where_the_penalized_distance_is_least():
    p, grads = START, [torch.ones(3, dtype=torch.float64)]
    landed = after(RULES["sgd"], p, grads, lr=0.5)
    got = after(proximal(RULES["sgd"]), p, grads, lr=0.5, weight_decay=0.8)
    slope = lambda q: gradient(lambda x: ((x - landed) ** 2).sum() / 2 / 0.5 + 0.8 * x @ x / 2, q)
    assert_close(slope(got), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-14)


@pytest.mark.parametrize("form", ["each", "together", "blocks"])
def test_proximal_decay_is_the_same_in_every_form(form):
    p, grads = torch.linspace(-1, 1, 3000), [[torch.linspace(1, -2, 3000)]] * 2
    one, other = (
        stepped(proximal(RULES["adam"]), [p], grads, way, weight_decay=0.1)
        for way in ("each", form)
    )
    assert_close(one, other, rtol=0, atol=0)
