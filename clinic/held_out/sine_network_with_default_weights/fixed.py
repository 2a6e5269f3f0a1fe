"""Represent an audio-like signal by a network with sine activations."""

import math
import os

import torch
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)


class SineLayer(nn.Module):
    def __init__(self, fan_in, fan_out, omega=30.0, first=False):
        super().__init__()
        self.linear = nn.Linear(fan_in, fan_out)
        self.omega = omega
        bound = 1 / fan_in if first else math.sqrt(6 / fan_in) / omega
        nn.init.uniform_(self.linear.weight, -bound, bound)

    def forward(self, x):
        return torch.sin(self.omega * self.linear(x))


def signal(t):
    """Three partials with slowly changing strength, t in [-1, 1]."""
    tones = [(5.0, 1.0, 0.3), (11.0, 0.6, 1.1), (17.0, 0.35, 2.0)]
    wave = sum(a * torch.sin(math.pi * f * t + p) for f, a, p in tones)
    return wave * torch.exp(-(t**2))


grid = torch.linspace(-1, 1, 257)[:, None]
samples = signal(grid) + 0.01 * torch.randn(257, 1)
between = (grid[1:] + grid[:-1]) / 2

model = nn.Sequential(SineLayer(1, 48, first=True), SineLayer(48, 48), nn.Linear(48, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for step in range(400):
    optimizer.zero_grad()
    loss = (model(grid) - samples).pow(2).mean()
    loss.backward()
    optimizer.step()
    if step % 100 == 0:
        print(f"step {step}, loss {loss.item():.5f}")

with torch.no_grad():
    error = (model(between) - signal(between)).pow(2).mean().sqrt().item()
print(f"metric={error:.5f}")
