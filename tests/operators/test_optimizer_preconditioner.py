"""The diagonal read from an optimizer is the one that its next-to-last line divides by."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg import optim
from thalweg.operators import Hessian, Preconditioned, optimizer_preconditioner

# name: class, settings, what the step divides (None for the gradient)
OPTIMIZERS = {
    "sgd": (torch.optim.SGD, {}, None),
    "adam": (torch.optim.Adam, {"betas": (0.8, 0.95), "eps": 1e-3}, "exp_avg"),
    "amsgrad": (torch.optim.Adam, {"amsgrad": True, "eps": 1e-3}, "exp_avg"),
    "adamw": (torch.optim.AdamW, {"weight_decay": 0.0}, "exp_avg"),
    "radam": (torch.optim.RAdam, {"betas": (0.8, 0.9), "eps": 1e-3}, "exp_avg"),
    "adamax": (torch.optim.Adamax, {"betas": (0.8, 0.9)}, "exp_avg"),
    "rmsprop": (torch.optim.RMSprop, {"alpha": 0.9, "eps": 1e-3}, None),
    "centered": (torch.optim.RMSprop, {"centered": True, "eps": 1e-3}, None),
    "adagrad": (torch.optim.Adagrad, {"lr_decay": 0.3, "eps": 1e-3}, None),
    "our adam": (optim.Adam, {"eps": 1e-3}, "exp_avg"),
    "our adagrad": (optim.Adagrad, {}, None),
}


@pytest.mark.parametrize("steps", [1, 2, 12])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_step_is_lr_times_momentum_over_it(name, steps):
    kind, settings, momentum = OPTIMIZERS[name]
    p = nn.Parameter(torch.randn(5, dtype=torch.float64))
    optimizer = kind([p], lr=0.1, **settings)
    for _ in range(steps):
        before = p.detach().clone()
        p.grad = torch.randn(5, dtype=torch.float64)
        optimizer.step()
    moved = p.grad if momentum is None else optimizer.state[p][momentum]
    diagonal = optimizer_preconditioner(optimizer, {"p": p})
    torch.testing.assert_close(before - p.detach(), 0.1 * moved / diagonal)


def trained(kind, settings, steps):
    """A parameter after some steps on random gradients, and its optimizer."""
    p = nn.Parameter(torch.randn(5, dtype=torch.float64))
    optimizer = kind([p], lr=0.1, **settings)
    for _ in range(steps):
        p.grad = torch.randn(5, dtype=torch.float64)
        optimizer.step()
    return p, optimizer


@pytest.mark.parametrize("steps", [1, 2, 12])
@pytest.mark.parametrize("kind", [torch.optim.NAdam, optim.NAdam])
def test_nadam_divides_its_mixture_of_gradient_and_momentum(kind, steps):
    """Dozat (2016), with torch's schedule mu_t = b1 (1 - 0.96^(t psi) / 2)."""
    settings = {"betas": (0.8, 0.9), "eps": 1e-3, "momentum_decay": 0.3}
    p, optimizer = trained(kind, settings, steps - 1)
    m = torch.zeros(5).double() if steps == 1 else optimizer.state[p]["exp_avg"].clone()
    before, p.grad = p.detach().clone(), torch.randn(5, dtype=torch.float64)
    optimizer.step()
    mu = [0.8 * (1 - 0.96 ** (t * 0.3) / 2) for t in range(1, steps + 2)]
    now, ahead = 1 - math.prod(mu[:-1]), 1 - math.prod(mu)
    mixture = (1 - mu[-2]) / now * p.grad + mu[-1] / ahead * (0.8 * m + 0.2 * p.grad)
    diagonal = optimizer_preconditioner(optimizer, {"p": p})
    torch.testing.assert_close(before - p.detach(), 0.1 * mixture / diagonal)


@pytest.mark.parametrize("kind", [torch.optim.Adadelta, optim.Adadelta])
def test_adadelta_divides_the_next_gradient(kind):
    """One whose square is the mean square already, so that it stays what it is."""
    p, optimizer = trained(kind, {"rho": 0.8, "eps": 1e-4}, 7)
    diagonal = optimizer_preconditioner(optimizer, {"p": p})
    before, p.grad = p.detach().clone(), optimizer.state[p]["square_avg"].sqrt()
    optimizer.step()
    torch.testing.assert_close(before - p.detach(), 0.1 * p.grad / diagonal)


def test_groups_of_other_rates_are_measured_by_the_first():
    a, b = (nn.Parameter(torch.ones(2)) for _ in "ab")
    sgd = torch.optim.SGD([{"params": [a], "lr": 0.1}, {"params": [b], "lr": 0.4}])
    assert optimizer_preconditioner(sgd, {"b": b, "a": a}).tolist() == [0.25, 0.25, 1, 1]


def test_goes_with_a_models_hessian():
    model = nn.Linear(3, 2).double()
    adam = torch.optim.Adam(model.parameters())
    x, y = torch.randn(4, 3, dtype=torch.float64), torch.randn(4, 2, dtype=torch.float64)
    F.mse_loss(model(x), y).backward()
    adam.step()
    diagonal = optimizer_preconditioner(adam, dict(model.named_parameters()))
    hessian = Hessian.of_model(model, F.mse_loss, (x, y))
    expected = hessian.to_dense() / diagonal.sqrt() / diagonal.sqrt()[:, None]
    torch.testing.assert_close(Preconditioned(hessian, diagonal).to_dense(), expected)


def test_refuses_what_it_cannot_read():
    p, other = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    with pytest.raises(ValueError, match="LBFGS: its step is not known"):
        optimizer_preconditioner(torch.optim.LBFGS([p]), {"p": p})
    with pytest.raises(ValueError, match=r"params\['p'\] is none of the optimizer's"):
        optimizer_preconditioner(torch.optim.SGD([other]), {"p": p})
    with pytest.raises(ValueError, match=r"has not stepped params\['p'\] yet"):
        optimizer_preconditioner(torch.optim.Adam([p]), {"p": p})
