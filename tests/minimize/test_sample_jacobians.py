"""Gauss-Newton matrices from samples' Jacobians, against J'HJ written out by autograd."""

import pytest
import torch
from torch import nn

from thalweg.minimize import Objective, minimize

N = 6


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


class OverSamples(nn.Module):
    """Couples samples: each sees the others' mean."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x):
        h = self.layer(x)
        return torch.tanh(h) - h.mean(0)


class OfDerivatives(nn.Module):
    """Uses a weight outside of its layer."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x):
        return torch.sin(self.layer(x)) + x @ self.layer.weight.T


def small(seed, *layers):
    torch.manual_seed(seed)
    return nn.Sequential(*layers).double()


MODELS = {
    "perceptron": lambda: small(0, nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)),
    "weights outside of layers": lambda: small(1, OfDerivatives()),
    "coupled samples": lambda: small(2, OverSamples()),
    "batch normalization": lambda: small(3, nn.Linear(3, 2), nn.BatchNorm1d(2)),
}
APART = ("perceptron", "weights outside of layers")
LOSSES = {
    "squares": (nn.MSELoss(), numbers(N, 2, seed=5)),
    "sum of squares": (nn.MSELoss(reduction="sum"), numbers(N, 2, seed=5)),
    "classes": (nn.CrossEntropyLoss(), torch.arange(N) % 2),
}


def known(model, loss, inputs, targets):
    """J'HJ by autograd, the samples all in one Jacobian."""
    flat = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
    names = [name for name, _ in model.named_parameters()]
    shapes = [p.shape for p in model.parameters()]

    def output(x):
        parts = torch.split(x, [shape.numel() for shape in shapes])
        named = {n: v.view(s) for n, v, s in zip(names, parts, shapes, strict=True)}
        return torch.func.functional_call(model, named, (inputs,))

    z = output(flat).detach()
    j = torch.autograd.functional.jacobian(output, flat).reshape(z.numel(), -1)
    h = torch.autograd.functional.hessian(lambda z: loss(z, targets), z)
    return j.T @ h.reshape(z.numel(), z.numel()) @ j


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", MODELS)
def test_the_matrix_is_the_definitions_and_costs_a_pass_for_each_output(name, loss):
    model, (criterion, targets), inputs = MODELS[name](), LOSSES[loss], numbers(N, 3)
    objective = Objective.of_model(model, criterion, (inputs, targets))
    operator = objective.operator("gauss-newton", objective.start)
    want = known(model, criterion, inputs, targets)
    torch.testing.assert_close(operator.to_dense(), want, rtol=1e-10, atol=1e-12)
    assert operator.facts == frozenset({"psd"})
    before = operator.passes
    assert torch.equal(operator.to_dense(), operator.to_dense())
    assert operator.passes - before == 2 * (2 if name in APART else len(want))


def test_batches_add_up():
    model, (criterion, targets), inputs = MODELS["perceptron"](), LOSSES["squares"], numbers(N, 3)
    batches = [(inputs[:4], targets[:4]), (inputs[4:], targets[4:])]
    objective = Objective.of_model(model, criterion, batches)
    found = objective.operator("gauss-newton", objective.start).to_dense()
    torch.testing.assert_close(found, known(model, criterion, inputs, targets))


def test_a_loss_that_couples_samples_is_found_out():
    model, targets, inputs = MODELS["perceptron"](), numbers(N, 2, seed=5), numbers(N, 3)
    coupling = lambda z, t: (z - t).square().mean() + z.sum().square()
    objective = Objective.of_model(model, coupling, (inputs, targets))
    found = objective.operator("gauss-newton", objective.start).to_dense()
    torch.testing.assert_close(found, known(model, coupling, inputs, targets))


def test_levenberg_marquardt_asks_for_no_product_a_parameter():
    model, (criterion, targets), inputs = MODELS["perceptron"](), LOSSES["squares"], numbers(N, 3)
    objective = Objective.of_model(model, criterion, (inputs, targets))
    result = minimize(
        objective, objective.start, "levenberg-marquardt", max_evaluations=5, certify=False
    )
    assert result.counts.products == 1 + 2 * result.counts.matrices
