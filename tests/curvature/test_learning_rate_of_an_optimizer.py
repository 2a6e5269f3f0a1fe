"""The learning rate of a live optimizer: where it says that the optimizer diverges, it does."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD, Adadelta, Adagrad, Adam, AdamW, RAdam, RMSprop

from thalweg.curvature import Hessian, learning_rate, optimizer_preconditioner


def problem():
    """A linear model: its loss is a parabola, and the limit is exact."""
    model = nn.Linear(4, 3).double()
    return model, F.mse_loss, (torch.randn(9, 4).double(), torch.randn(9, 3).double())


def trained(model, loss, data, optimizer, steps):
    x, y = data
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()
    return max(float(p.detach().abs().max()) for p in model.parameters())


SGDS = {
    "plain": {},
    "momentum": {"momentum": 0.8},
    "dampened": {"momentum": 0.8, "dampening": 0.3},
    "nesterov": {"momentum": 0.8, "nesterov": True},
    "decayed": {"momentum": 0.5, "weight_decay": 1.5},
}


@pytest.mark.parametrize("name", SGDS)
def test_sgd_diverges_above_the_maximal_rate_and_not_below(name):
    model, loss, data = problem()
    own = SGD(model.parameters(), lr=1e-3, **SGDS[name])
    found = learning_rate(model, loss, data, optimizer=own, tol=1e-9)
    assert found.confirmed is True
    assert found.in_use == 1e-3
    assert str(found).endswith("in use 0.001")
    for factor, grows in ((0.98, False), (1.02, True)):
        trial = copy.deepcopy(model)
        rate = factor * found.maximal.value
        far = trained(trial, loss, data, SGD(trial.parameters(), lr=rate, **SGDS[name]), 500)
        assert (far > 20) is grows


ADAPTIVE = {
    "Adam": (Adam, {"betas": (0.8, 0.9)}),
    "amsgrad": (Adam, {"amsgrad": True}),
    "AdamW": (AdamW, {"weight_decay": 0.3}),
    "RAdam": (RAdam, {}),
    "RMSprop": (RMSprop, {}),
    "Adagrad": (Adagrad, {"lr_decay": 0.1}),
    "Adadelta": (Adadelta, {"rho": 0.8}),
}


@pytest.mark.parametrize("name", ADAPTIVE)
def test_adaptive_ones_by_the_dense_preconditioned_hessian(name):
    """(2 + 2 b) / (1 - b) over the largest eigenvalue of P^-1 H, P without its start-up factor."""
    kind, settings = ADAPTIVE[name]
    model, loss, data = problem()
    own = kind(model.parameters(), lr=0.01, **settings)
    trained(model, loss, data, own, 8)
    found = learning_rate(model, loss, data, optimizer=own, tol=1e-9)
    b = own.param_groups[0].get("betas", (0.0,))[0]
    diagonal = optimizer_preconditioner(own, dict(model.named_parameters()))
    diagonal = diagonal / (1 - b**8)
    dense = Hessian.of_model(model, loss, data).to_dense()
    largest = torch.linalg.eigvals(dense / diagonal[:, None]).real.max()
    assert found.maximal.value == pytest.approx((2 + 2 * b) / (1 - b) / float(largest), rel=1e-8)
    assert found.method.momentum == b
    assert found.confirmed is True


def test_what_it_does_not_move_is_constant_and_its_groups_count():
    model, loss, data = problem()
    own = SGD([{"params": [model.weight], "lr": 0.2}, {"params": [model.bias], "lr": 0.0}], lr=1)
    found = learning_rate(model, loss, data, optimizer=own, tol=1e-9)
    alone = learning_rate(model, loss, data, params=["weight"], tol=1e-9)
    assert found.maximal.value == pytest.approx(alone.maximal.value, rel=1e-8)
    own.param_groups[1]["lr"] = 0.8
    found = learning_rate(model, loss, data, optimizer=own, tol=1e-9)
    dense = Hessian.of_model(model, loss, data).to_dense()
    rates = torch.cat([torch.ones(12), torch.full((3,), 4.0)]).double()
    largest = float(torch.linalg.eigvals(rates[:, None] * dense).real.max())
    assert found.maximal.value == pytest.approx(2 / largest, rel=1e-8)


def test_its_decay_joins_a_penalty_of_ones_own():
    """With rates of 2 and 3, each on |w|^2 / 2, all eigenvalues rise by 5."""
    model, loss, data = problem()
    own = SGD(model.parameters(), lr=0.1, weight_decay=2.0)

    def penalty(params):
        return 1.5 * sum(p.square().sum() for p in params.values())

    plain = learning_rate(model, loss, data, tol=1e-9)
    found = learning_rate(model, loss, data, optimizer=own, penalty=penalty, tol=1e-9)
    assert 2 / found.maximal.value == pytest.approx(2 / plain.maximal.value + 5, rel=1e-8)


REFUSED = {
    "another method": (lambda p: torch.optim.LBFGS(p), {}, "LBFGS.*no method.*Give method="),
    "no step yet": (lambda p: Adam(p), {}, "has not stepped.*yet"),
    "not its model": (lambda p: SGD([torch.zeros(2).requires_grad_()]), {}, "moves none"),
    "a method too": (lambda p: SGD(p, lr=0.1), {"momentum": 0.9}, r"momentum=\.\.\.\): the opt"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_what_it_cannot_read(case):
    make, options, says = REFUSED[case]
    model, loss, data = problem()
    with pytest.raises(ValueError, match=says):
        learning_rate(model, loss, data, optimizer=make(list(model.parameters())), **options)


def test_an_operator_does_not_know_the_optimizers_parameters():
    model, loss, data = problem()
    own = SGD(model.parameters())
    says = r"learning_rate\(Hessian, optimizer=SGD\).*diagonal="
    with Hessian.of_model(model, loss, data) as hessian, pytest.raises(TypeError, match=says):
        learning_rate(hessian, optimizer=own)
