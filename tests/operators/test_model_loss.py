"""A model's loss as a function of its parameters: the same every time, and without side effects."""

import torch
from torch import nn
from torch.nn import functional as F

from thalweg.operators import model_loss


def network():
    return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2))


def batch():
    return torch.randn(6, 3), torch.randn(6, 2)


def test_equals_the_models_own_loss():
    model, (x, y) = network(), batch()
    loss = model_loss(model, F.mse_loss, (x, y))
    mine = loss(dict(model.named_parameters()))
    assert torch.equal(mine, F.mse_loss(model(x), y))


def test_every_call_draws_the_same_dropout():
    model = network()
    loss = model_loss(model, F.mse_loss, batch())
    params = dict(model.named_parameters())
    first = loss(params)
    torch.rand(5)
    assert torch.equal(loss(params), first)
    assert not torch.equal(model_loss(model, F.mse_loss, batch())(params), first)


def test_leaves_buffers_and_random_state_alone():
    model = network()
    buffers = {name: b.clone() for name, b in model.named_buffers()}
    data, state = batch(), torch.get_rng_state()
    model_loss(model, F.mse_loss, data)(dict(model.named_parameters()))
    assert torch.equal(torch.get_rng_state(), state)
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, buffers[name])


class Impatient(nn.Module):
    """Its output grows with the number of times it was called."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        self.calls += 1
        return x * self.weight * self.calls


def test_every_call_begins_from_the_same_buffers():
    model = Impatient()
    loss = model_loss(model, F.mse_loss, (torch.ones(1), torch.zeros(1)))
    params = dict(model.named_parameters())
    assert [loss(params).item() for _ in range(3)] == [1, 1, 1]
    assert model.calls.item() == 0


def test_is_a_function_of_the_parameters_that_it_is_given():
    model = nn.Linear(3, 2)
    loss = model_loss(model, F.mse_loss, (torch.ones(4, 3), torch.zeros(4, 2)))
    zeros = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    assert float(loss(zeros)) == 0
    zeros["bias"] = torch.tensor([3.0, 1.0])
    assert float(loss(zeros)) == 5


def test_a_tuple_of_inputs_is_spread():
    model = nn.Bilinear(2, 2, 1)
    a, b, y = torch.randn(3, 2), torch.randn(3, 2), torch.randn(3, 1)
    loss = model_loss(model, F.mse_loss, ((a, b), y))
    assert torch.equal(loss(dict(model.named_parameters())), F.mse_loss(model(a, b), y))
