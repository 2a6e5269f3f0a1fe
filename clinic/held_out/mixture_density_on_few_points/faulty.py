"""Mixture density network: where a robot may stand, given its range reading."""

import copy
import math
import os

import torch
from torch import distributions as D
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)


def observe(n):
    position = torch.rand(n)
    reading = position + 0.25 * torch.sin(2 * math.pi * position) + 0.06 * torch.randn(n)
    reading = torch.where(torch.rand(n) < 0.15, torch.rand(n), reading)
    return reading[:, None] * 4 - 2, position * 4 - 2


class MixtureDensity(nn.Module):
    def __init__(self, components=10, width=64):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(1, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh()
        )
        self.parts = nn.Linear(width, 3 * components)

    def forward(self, x):
        logits, mean, log_scale = self.parts(self.body(x)).chunk(3, dim=-1)
        parts = D.Normal(2 * mean, log_scale.clamp(-5, 3).exp())
        return D.MixtureSameFamily(D.Categorical(logits=logits), parts)

    def nll(self, x, y):
        return -self(x).log_prob(y).mean()


x, y = observe(150)
x_valid, y_valid = observe(150)
x_test, y_test = observe(1000)
model = MixtureDensity()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
best, best_state = math.inf, None
for step in range(700):
    optimizer.zero_grad()
    loss = model.nll(x, y)
    loss.backward()
    optimizer.step()
    if step % 10 == 9:
        with torch.no_grad():
            valid = model.nll(x_valid, y_valid).item()
        if valid < best:
            best, best_state = valid, copy.deepcopy(model.state_dict())
    if step % 100 == 99:
        print(f"step {step + 1}: train {loss.item():.3f}, validation {valid:.3f}, best {best:.3f}")

with torch.no_grad():
    print(f"metric={model.nll(x_test, y_test).item():.4f}")
