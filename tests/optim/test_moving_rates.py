"""What a changed learning rate acts on, and what averaged descent averages."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from thalweg.optim import ASGD, AveragedSGD, RMSprop, averaged

RATES = [0.1, 0.1, 0.02, 0.3, 0.05]


def path(optimizer, rates, grads):
    """The parameter and its state after each step."""
    (p,) = optimizer.param_groups[0]["params"]
    seen = []
    for lr, g in zip(rates, grads, strict=True):
        optimizer.param_groups[0]["lr"] = lr
        p.grad = g.clone()
        optimizer.step()
        state = {k: v.clone() for k, v in optimizer.state[p].items()}
        seen.append((p.detach().clone(), state))
    return seen


def descended(rates, grads):
    """From one, the points after each plain step."""
    return 1 - torch.cumsum(torch.stack([r * g for r, g in zip(rates, grads, strict=True)]), 0)


@pytest.fixture
def grads():
    return list(torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64))


@pytest.fixture
def p():
    return nn.Parameter(torch.ones(3, dtype=torch.float64))


def test_averaged_descent_keeps_the_mean_of_all_iterates(p, grads):
    seen = path(AveragedSGD([p], lr=0.1), [0.1] * 5, grads)
    for count, (_, state) in enumerate(seen, 1):
        assert_close(state["ax"], torch.stack([q for q, _ in seen[:count]]).mean(0))


def test_a_model_is_evaluated_at_the_mean(p, grads):
    optimizer = AveragedSGD([p], lr=0.1)
    seen = path(optimizer, [0.1] * 5, grads)
    with averaged(optimizer):
        assert_close(p.detach(), torch.stack([q for q, _ in seen]).mean(0))
    assert_close(p.detach(), seen[-1][0], rtol=0, atol=0)


@pytest.mark.parametrize("t0", [1.0, 2.0])
def test_averaging_may_begin_later(p, grads, t0):
    seen = path(AveragedSGD([p], t0=t0), [0.1] * 5, grads)
    assert_close(seen[-1][1]["ax"], torch.stack([q for q, _ in seen[int(t0) :]]).mean(0))


def test_a_changed_rate_acts_at_once(p, grads):
    steps = path(AveragedSGD([p], lr=0.1), RATES, grads)
    expected = descended(RATES, grads)
    assert_close(torch.stack([q for q, _ in steps]), expected)


def test_under_pytorchs_convention_it_acts_one_step_late(p, grads):
    steps = path(ASGD([p], lr=0.1, lambd=0.0), RATES, grads)
    late = [0.1, *RATES[:-1]]
    expected = descended(late, grads)
    assert_close(torch.stack([q for q, _ in steps]), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("inside", [False, True])
def test_rmsprops_rate_stands_inside_the_momentum_or_outside(p, grads, inside):
    options = {"alpha": 0.0, "eps": 0.0, "momentum": 0.5, "lr_inside_momentum": inside}
    steps = path(RMSprop([p], **options), RATES, grads)  # g / sqrt(g^2) is a sign
    velocity, q = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    for lr, g, (got, _) in zip(RATES, grads, steps, strict=True):
        velocity = 0.5 * velocity + (lr if inside else 1) * g.sign()
        q = q - (1 if inside else lr) * velocity
        assert_close(got, q)
