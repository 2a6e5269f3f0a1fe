"""Losses that draw, count or differentiate wrongly are found out, and what does it is named."""

import pytest
import torch
from networks import mlp, normal
from torch import nn
from torch.nn import functional as F

from thalweg.operators import Hessian


class Counting(nn.Module):
    """Its output grows with every call."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        return x * self.calls


class Noisy(nn.Module):
    """Draws from a generator that it keeps."""

    def __init__(self):
        super().__init__()
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, x):
        return x * torch.rand(x.shape, generator=self.generator, dtype=x.dtype)


class WrongCube(torch.autograd.Function):
    """A derivative that belongs to no function: its own derivative is not symmetric."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 3 * (x * x.roll(1, -1))


def nets(extra):
    model, loss, data = mlp()
    return nn.Sequential(*model, extra), loss, data


def test_a_module_that_counts_is_named():
    model, loss, data = nets(Counting())
    with pytest.raises(ValueError, match=r"first output to differ is that of '3' \(Counting\)"):
        Hessian.of_model(model, loss, data)


def test_a_loss_that_draws_from_a_generator_of_its_own_is_found_out():
    model, _, data = mlp()
    own = torch.Generator().manual_seed(0)

    def loss(output, targets):
        return F.cross_entropy(output, targets) * torch.rand((), generator=own)

    with pytest.raises(ValueError, match="it is the loss function that draws"):
        Hessian.of_model(model, loss, data)
    Hessian.of_model(model, loss, data[0], check=False)


def test_a_generator_that_a_module_keeps_is_put_back():
    model, loss, data = nets(Noisy())
    state = model[3].generator.get_state()
    Hessian.of_model(model, loss, data, memory=0) @ torch.ones(43, dtype=torch.float64)
    assert torch.equal(model[3].generator.get_state(), state)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_wrong_second_derivative_is_found_out(dtype):
    model, target = nn.Linear(3, 4).to(dtype), normal(5, 4).to(dtype)
    data = (normal(5, 3).to(dtype), target)

    def loss(output, targets):
        return F.mse_loss(WrongCube.apply(output), targets)

    with pytest.raises(ValueError, match="is not symmetric"):
        Hessian.of_model(model, loss, data)
    Hessian.of_model(model, loss, data, check=False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_right_derivatives_pass_whatever_their_size(dtype):
    for scale in (1e-6, 1.0, 1e6):
        model = nn.Sequential(nn.Linear(30, 40), nn.ReLU(), nn.Linear(40, 2)).to(dtype)
        x, y = scale * normal(9, 30).to(dtype), normal(9, 2).to(dtype)
        Hessian.of_model(model, F.mse_loss, (x, y))
        Hessian.of_model(nn.Linear(30, 2).to(dtype), lambda out, _: out.sum(), (x, y))


def test_a_gradient_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match=r"gradient of params\['w'\] is not finite"):
        Hessian(lambda p: p["w"].sqrt().sum(), {"w": torch.zeros(2)})
