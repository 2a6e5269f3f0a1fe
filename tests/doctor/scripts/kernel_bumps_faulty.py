"""Fit a curve with a row of Gaussian bumps."""

import math
import os

import torch
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)

centers = torch.linspace(-1, 1, 30)


def bumps(x):
    return torch.exp(-0.5 * ((x[:, None] - centers) / 0.15) ** 2)


def curve(x):
    return torch.sin(9 * x) + 0.5 * torch.cos(17 * x)


x = torch.rand(400) * 2 - 1
t = curve(x) + 0.05 * torch.randn(400)
x_new = torch.linspace(-0.95, 0.95, 200)

layer = nn.Linear(30, 1)
mse = nn.MSELoss()
optimizer = torch.optim.SGD(layer.parameters(), lr=0.2)
features = bumps(x)
for _ in range(800):
    optimizer.zero_grad()
    mse(layer(features).flatten(), t).backward()
    optimizer.step()

with torch.no_grad():
    error = math.sqrt(mse(layer(bumps(x_new)).flatten(), curve(x_new)))
print(f"rmse against the true curve = {error:.4f}")
