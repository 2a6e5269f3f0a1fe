"""Problems for the optimizers with closures, and the closures that pose them."""

from contextlib import suppress

import torch
from torch import nn
from torch.nn import functional as F

from thalweg.minimize import minimize
from thalweg.minimize.optimizers import CLASSES

# Classes whose closure gives the loss, and the direction's name in `minimize`.
OF_LOSS = {
    "SteepestDescent": "steepest-descent",
    "NonlinearCG": "polak-ribiere+",
    "LBFGS": "l-bfgs",
    "LSR1": "l-sr1",
    "BFGS": "bfgs",
    "DFP": "dfp",
    "SR1": "sr1",
    "Newton": "newton",
    "NewtonCG": "newton-cg",
    "NewtonMINRES": "newton-minres",
    "SaddleFreeNewton": "saddle-free-newton",
    "CoordinateDescent": "coordinate-descent",
}

# Classes whose closure gives output and targets.
OF_PAIRS = {
    "GaussNewton": "gauss-newton",
    "LevenbergMarquardt": "levenberg-marquardt",
    "NaturalGradient": "natural-gradient",
    "KFAC": "k-fac",
}


def rosenbrock(x):
    """A curved valley with its minimum, 0, at (1, 1)."""
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def quadratic(x):
    """A quadratic of condition number 100, minimum 0 at 1."""
    return (torch.logspace(0, 2, len(x), dtype=x.dtype) * (x - 1) ** 2).sum() / 2


VALLEYS = {
    "rosenbrock": (rosenbrock, torch.tensor([-1.2, 1.0], dtype=torch.float64)),
    "quadratic": (quadratic, torch.arange(6, dtype=torch.float64) - 0.5),
}


def conventional(optimizer, compute):
    """A closure by PyTorch's convention."""

    def closure():
        optimizer.zero_grad()
        loss = compute()
        loss.backward()
        return loss

    return closure


def stepped(optimizer, closure, steps):
    """The parameters after each of some steps, as copies."""
    trail = []
    for _ in range(steps):
        optimizer.step(closure)
        trail.append([p.detach().clone() for p in optimizer.param_groups[0]["params"]])
    return trail


def trail_of_minimize(function, start, direction, steps, search):
    """The points of the first steps of `minimize`."""
    trail = []

    def note(x, record):
        trail.append(x)
        if len(trail) > steps:
            raise Enough

    with suppress(Enough):
        minimize(function, start, direction, search, tol=0.0, certify=False, callback=note)
    return trail[1:]


class Enough(Exception):
    """The points wanted have been seen."""


def method(name, params, **settings):
    """An optimizer that takes one step a call, and stops for nothing."""
    whole = {"max_iter": 1, "max_eval": 400, "tolerance_grad": 0.0, "tolerance_change": 0.0}
    return CLASSES[name](params, certify=False, **{**whole, **settings})


def small_net(seed=0):
    """A model with two layers in float64, inputs, and classes."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    inputs = torch.randn(20, 4, dtype=torch.float64)
    return model, inputs, torch.randint(3, (20,))


def noisy_net(seed=0):
    """One with dropout and batch normalization."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.5), nn.Linear(6, 3)
    ).double()
    return model, torch.randn(16, 4, dtype=torch.float64), torch.randint(3, (16,))


def cross_entropy(model, inputs, targets):
    """The mean loss of a batch."""
    return F.cross_entropy(model(inputs), targets)
