"""What breaks is told with its step, module, operation and inputs, and leaves a good state."""

import math
import random

import numpy as np
import pytest
import torch
from torch import nn

import thalweg
from thalweg.watching import TrainingBroke, alarm, restore_random


@pytest.fixture(autouse=True)
def every_gradient_is_looked_at(monkeypatch):
    """Whatever that takes: on a busy machine one slow look puts off the next by many steps."""
    monkeypatch.setattr(alarm, "GUARDING", math.inf)


class Logarithm(nn.Module):
    def forward(self, x):
        return torch.log(x)


class Root(nn.Module):
    def forward(self, x):
        return torch.sqrt(x)


class Quotient(nn.Module):
    def forward(self, x):
        return x / (x - x.detach())


def made_by(kind):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.Softplus(), kind()), nn.Linear(3, 1))
    return net, torch.optim.Adam(net.parameters(), lr=1e-3)


def train(net, optimizer, at, breaking, steps=12, batch=None):
    """Train, and before step `at` do what breaks it."""
    for step in range(steps):
        inputs = torch.rand(8, 4)
        if step == at:
            inputs = breaking(net, inputs)
        optimizer.zero_grad()
        loss = (net(inputs) - 1).square().mean()
        loss.backward()
        optimizer.step()


def negative(net, inputs):
    with torch.no_grad():
        net[0].bias.sub_(200)  # softplus of -200 is 0 in single precision
    return inputs


def spoiled(net, inputs):
    inputs[2, 1] = math.nan
    return inputs


def overflow(net, inputs):
    with torch.no_grad():
        net[0].weight.fill_(math.inf)
    return inputs


def watched(net, optimizer, at, breaking, **options):
    with thalweg.watch(**options) as watching:
        train(net, optimizer, at, breaking)
    return watching.data["watched"]["trouble"], watching


CASES = {
    "log of zero": (Logarithm, negative, "loss", "1.1 (Logarithm)", "log"),
    "root's slope at zero": (Root, negative, "gradient", "1.1 (Root)", "sqrt"),
    "data": (nn.Identity, spoiled, "data", "", ""),
    "parameter": (nn.Identity, overflow, "parameter", "", ""),
}


@pytest.mark.parametrize("at", [0, 1, 7])
@pytest.mark.parametrize("name", CASES)
def test_what_broke_is_named(name, at, capsys):
    kind, breaking, what, module, operation = CASES[name]
    trouble, _ = watched(*made_by(kind), at, breaking)
    assert (trouble["kind"], trouble["step"]) == (what, at)
    assert (trouble["module"], trouble["operation"]) == (module, operation)
    assert f"step {at}: " in capsys.readouterr().err


def test_the_inputs_of_the_operation_are_described():
    trouble, _ = watched(*made_by(Logarithm), 7, negative)
    (given,) = trouble["inputs"]
    assert (given["shape"], given["min"], given["not_finite"]) == ([8, 3], 0.0, 0.0)
    trouble, _ = watched(*made_by(nn.Identity), 7, spoiled)
    assert trouble["inputs"][0]["not_finite"] == pytest.approx(1 / 32)


def test_a_healthy_run_has_no_trouble_and_leaves_nothing(tmp_path):
    trouble, watching = watched(*made_by(Logarithm), -1, spoiled)
    assert trouble is None
    assert list(tmp_path.iterdir()) == []
    assert watching.data["script"]["steps"] == 12


@pytest.mark.parametrize("name", ["log of zero", "root's slope at zero", "data"])
def test_the_last_good_state_is_that_before_the_step(name):
    kind, breaking, *_ = CASES[name]
    plain, optimizer = made_by(kind)
    train(plain, optimizer, -1, breaking, steps=7)
    wanted = {key: one.clone() for key, one in plain.state_dict().items()}
    trouble, _ = watched(*made_by(kind), 7, breaking)
    assert trouble["state_step"] == 7
    state = torch.load(trouble["state"], weights_only=True)
    if breaking is negative:  # which spoils the bias itself
        wanted["0.bias"] = wanted["0.bias"] - 200
    for key, one in state["models"][0].items():
        assert torch.equal(one, wanted[key])
    fresh, other = made_by(kind)
    scope = {"torch": torch, "thalweg": thalweg, "model": fresh, "optimizer": other}
    exec(trouble["load"], scope)
    assert torch.equal(fresh[0].weight, wanted["0.weight"])
    assert other.state_dict()["state"][0]["step"] == 7


def test_random_numbers_go_on_where_they_were():
    from thalweg.operators.saved_random_state import random_state

    def drawn():
        return (
            torch.rand(3).tolist(),
            np.random.rand(3).tolist(),
            [random.gauss(0, 1) for _ in "ab"],
        )

    np.random.randn()  # leaves a second normal number waiting
    random.gauss(0, 1)
    state = random_state()
    first = drawn()
    assert drawn() != first
    restore_random(state)
    assert drawn() == first


def test_stopping_raises_before_the_update():
    net, optimizer = made_by(Root)
    with pytest.raises(TrainingBroke, match="step 7: The loss is finite and its gradient is not"):
        watched(net, optimizer, 7, negative, stop=True)
    assert all(p.isfinite().all() for p in net.parameters())


class Failing(nn.Module):
    def forward(self, x):
        return x @ torch.ones(7, 1)


def test_an_exception_is_told_with_its_module_and_comes_through():
    net = nn.Sequential(nn.Linear(4, 3), nn.Sequential(Failing()))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    watching = thalweg.watch()
    with pytest.raises(RuntimeError, match="mat1 and mat2"), watching:
        train(net, optimizer, 0, lambda net, inputs: inputs)
    trouble = watching.data["watched"]["trouble"]
    assert (trouble["kind"], trouble["module"]) == ("exception", "1.0 (Failing)")
    assert trouble["inputs"][0]["shape"] == [8, 3]
    assert watching.data["baseline"] is None


@pytest.mark.parametrize("budget", [0.0, -1.0, math.nan, math.inf])
def test_a_budget_that_is_no_share_is_refused(budget):
    with pytest.raises(ValueError, match="give a share of the run's time"):
        thalweg.watch(budget=budget)
