"""The method that an optimizer is, against what the optimizer itself does."""

import pytest
import torch
from torch.optim import SGD, Adagrad, Adam, Adamax, AdamW, RAdam, RMSprop

import thalweg.optim
from thalweg.curvature import Hessian, learning_rate
from thalweg.curvature.optimizers import NotRead, in_use, moved

CURVATURES = {"a": torch.tensor([9.0, 1.0]).double(), "b": torch.tensor([4.0, 0.5]).double()}

SGDS = {
    "plain": {},
    "momentum": {"momentum": 0.8},
    "dampened": {"momentum": 0.8, "dampening": 0.3},
    "nesterov": {"momentum": 0.8, "nesterov": True},
    "decayed": {"momentum": 0.5, "weight_decay": 2.0},
}


def started():
    """Parameters, all ones."""
    return {name: torch.ones(2, dtype=torch.float64).requires_grad_() for name in CURVATURES}


def loss(params, decay=0.0):
    """A quadratic of known curvatures."""
    terms = [((CURVATURES[n] + decay) * p.square()).sum() / 2 for n, p in params.items()]
    return torch.stack(terms).sum()


def made(kind, params, shares, lr, settings):
    """The optimizer with a group for each parameter, its rate a share of `lr`."""
    groups = [{"params": [p], "lr": lr * shares[n]} for n, p in params.items()]
    return kind(groups, lr=lr, **settings)


def stepped(optimizer, params, steps):
    """Step, and give the parameters' length."""
    for _ in range(steps):
        optimizer.zero_grad()
        loss(params).backward()
        optimizer.step()
    return max(float(p.detach().norm()) for p in params.values())


@pytest.mark.parametrize("shares", [{"a": 1, "b": 1}, {"a": 1, "b": 5}], ids=["alike", "groups"])
@pytest.mark.parametrize("name", SGDS)
def test_sgd_diverges_just_above_the_maximal_rate_and_not_just_below(name, shares):
    settings = SGDS[name]
    params = started()
    optimizer = made(SGD, params, shares, 1e-3, settings)
    stepped(optimizer, params, 1)
    own = in_use(optimizer, params)
    assert own.rate == 1e-3
    decay = settings.get("weight_decay", 0.0)
    assert set(own.decay.values()) == {decay}
    hessian = Hessian(lambda p: loss(p, decay), {n: p.detach() for n, p in params.items()})
    found = learning_rate(
        hessian, method=own.method, momentum=own.momentum, diagonal=own.diagonal, tol=1e-9
    )
    for factor, grows in ((0.98, False), (1.02, True)):
        params = started()
        optimizer = made(SGD, params, shares, factor * found.maximal.value, settings)
        assert (stepped(optimizer, params, 400) > 1) is grows


ADAPTIVE = {
    "Adam": (Adam, {}),
    "Adam with amsgrad": (Adam, {"amsgrad": True}),
    "AdamW": (AdamW, {"weight_decay": 0.0}),
    "Adamax": (Adamax, {}),
    "RMSprop": (RMSprop, {}),
    "centered RMSprop": (RMSprop, {"centered": True}),
    "Adagrad": (Adagrad, {"lr_decay": 0.1}),
    "our Adam": (thalweg.optim.Adam, {}),
    "our RMSprop": (thalweg.optim.RMSprop, {}),
}


@pytest.mark.parametrize("name", ADAPTIVE)
def test_a_step_is_the_averaged_gradient_over_the_diagonal(name):
    kind, settings = ADAPTIVE[name]
    params = started()
    optimizer = made(kind, params, {"a": 1, "b": 3}, 1e-2, settings)
    average = {n: torch.zeros_like(p) for n, p in params.items()}
    for _ in range(6):
        before = {n: p.detach().clone() for n, p in params.items()}
        stepped(optimizer, params, 1)
        own = in_use(optimizer, params)
        average = {
            n: own.momentum * m + (1 - own.momentum) * params[n].grad for n, m in average.items()
        }
    correction = 1 - own.momentum**6
    flat = torch.cat([average[n] / correction for n in params])
    moves = torch.cat([params[n].detach() - before[n] for n in params])
    assert torch.allclose(moves, -own.rate * flat / own.diagonal, rtol=1e-9, atol=0)
    assert own.method == ("adam" if own.momentum else "gradient-descent")


NOT_READ = {
    "uphill": (lambda p: SGD(p, lr=1.0, maximize=True), "maximize=True"),
    "a rate of zero": (lambda p: SGD([{"params": p, "lr": 0.0}], lr=1.0), "does not learn"),
    "another placement": (
        lambda p: thalweg.optim.Adam(p, lr=1e-3, eps_placement="inside"),
        "eps_placement='inside'",
    ),
}


@pytest.mark.parametrize("name", NOT_READ)
def test_what_has_no_formula_is_said(name):
    make, why = NOT_READ[name]
    param = torch.ones(2, dtype=torch.float64, requires_grad=True)
    optimizer = make([param])
    param.grad = torch.ones_like(param)
    optimizer.step()
    with pytest.raises(NotRead, match=why):
        in_use(optimizer, {"w": param})


def test_an_unknown_optimizer_and_one_of_the_same_name_are_not_read():
    param = torch.ones(2, requires_grad=True)
    with pytest.raises(NotRead, match="LBFGS is no method with a known limit"):
        in_use(torch.optim.LBFGS([param]), {"w": param})
    stranger = type("Adam", (torch.optim.LBFGS,), {})([param])
    with pytest.raises(NotRead, match="Adam is no method"):
        in_use(stranger, {"w": param})


def test_groups_with_momenta_of_their_own_are_not_one_method():
    params = started()
    groups = [
        {"params": [p], "momentum": m} for p, m in zip(params.values(), (0, 0.9), strict=True)
    ]
    with pytest.raises(NotRead, match="differ in momentum"):
        in_use(SGD(groups, lr=0.1), params)


def test_what_does_not_learn_is_not_moved():
    a, b = (torch.ones(2, requires_grad=True) for _ in range(2))
    optimizer = SGD([{"params": [a]}, {"params": [b], "lr": 0.0}], lr=0.1)
    assert moved(optimizer) == {id(a)}


def test_radam_is_momentum_alone_before_it_adapts():
    param = torch.ones(2, dtype=torch.float64, requires_grad=True)
    optimizer = RAdam([param], lr=1e-2)
    param.grad = torch.ones_like(param)
    optimizer.step()
    assert in_use(optimizer, {"w": param}).diagonal is None
