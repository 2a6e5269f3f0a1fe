"""Fit the tide at a harbour, in functional style."""

import os

import torch
from torch import nn
from torch.func import functional_call, grad_and_value

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)


def tide(hour):
    moon = 1.2 * torch.cos(6.2832 * hour / 12.42)
    sun = 0.5 * torch.cos(6.2832 * hour / 12.0 + 0.7)
    return moon + sun + 0.3 * torch.cos(6.2832 * hour / 25.8 + 2.0)


def features(hour):
    """Sines and cosines of the known periods and of a few that play no part."""
    periods = torch.tensor([6.2, 8.3, 12.0, 12.42, 23.9, 25.8])
    angle = 6.2832 * hour[:, None] / periods
    return torch.cat([torch.sin(angle), torch.cos(angle)], 1)


hours = 24 * 14 * torch.rand(1000)
level = tide(hours) + 0.1 * torch.randn(1000)
x_train, y_train = features(hours[:700]), level[:700]
x_test, y_test = features(hours[700:]), level[700:]

model = nn.Sequential(nn.Linear(12, 24), nn.Tanh(), nn.Linear(24, 1))
params = {name: p.detach().clone() for name, p in model.named_parameters()}
velocity = {name: torch.zeros_like(p) for name, p in params.items()}


def loss_of(params, x, y):
    return (functional_call(model, params, (x,))[:, 0] - y).square().mean()


step_size, momentum = 0.02, 0.9
for epoch in range(25):
    for rows in torch.randperm(700).split(35):
        grads, loss = grad_and_value(loss_of)(params, x_train[rows], y_train[rows])
        velocity = {k: momentum * velocity[k] + grads[k] for k in params}
        params = {k: params[k] - step_size * velocity[k] for k in params}
    if epoch % 5 == 0:
        print(f"epoch {epoch} loss {loss.item():.4g}")

rmse = loss_of(params, x_test, y_test).sqrt().item()
print(f"metric={rmse:.5f}")
