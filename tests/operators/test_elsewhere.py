"""The loss and the gradient at displaced parameters, against the model's own there."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.operators import Hessian, Matrix
from thalweg.operators.layout import Layout


@pytest.fixture
def net():
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()


def batches(*lengths):
    return [
        (torch.randn(n, 3, dtype=torch.float64), torch.randint(2, (n,), dtype=torch.int64))
        for n in lengths
    ]


def own(net, data, by):
    """The mean loss over all samples, and its gradient, of the model with its parameters moved."""
    layout = Layout.of(dict(net.named_parameters()))
    with torch.no_grad():
        for p, step in zip(net.parameters(), layout.unflatten(by).values(), strict=True):
            p += step
    total = sum(F.cross_entropy(net(x), y, reduction="sum") for x, y in data)
    loss = total / sum(len(y) for _, y in data)
    return float(loss.detach()), torch.cat(
        [g.reshape(-1) for g in torch.autograd.grad(loss, net.parameters())]
    )


def moved_to(net):
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()])


@pytest.mark.parametrize("lengths", [(8,), (8, 3)])
@pytest.mark.parametrize("memory", [None, 0])
def test_loss_and_gradient_elsewhere_are_the_models_there(net, lengths, memory):
    data = batches(*lengths)
    hessian = Hessian.of_model(net, F.cross_entropy, data, memory=memory)
    by = torch.randn(hessian.size, dtype=torch.float64)
    loss, gradient = hessian.loss_at(by), hessian.gradient_at(by)
    expected_loss, expected = own(net, data, by)
    torch.testing.assert_close(hessian.place + by, moved_to(net))
    assert loss == pytest.approx(expected_loss, rel=1e-13)
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-14)


def test_no_displacement_is_the_place_itself(net):
    hessian = Hessian.of_model(net, F.cross_entropy, batches(5))
    still = torch.zeros(hessian.size, dtype=torch.float64)
    assert hessian.loss_at(still) == hessian.loss
    assert torch.equal(hessian.gradient_at(still), hessian.gradient)


def test_a_closed_hessian_refuses(net):
    with Hessian.of_model(net, F.cross_entropy, batches(5)) as hessian:
        still = torch.zeros(hessian.size, dtype=torch.float64)
    for call in (hessian.loss_at, hessian.gradient_at):
        with pytest.raises(RuntimeError, match="close"):
            call(still)
    assert not hasattr(Matrix(torch.eye(2)), "loss_at")
