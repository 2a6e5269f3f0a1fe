"""Fill the gaps of an elevation map with a network of its coordinates."""

import os

import torch
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

SURVEYED = 900
bumps = torch.rand(12, 2) * 2 - 1
heights = torch.randn(12)


def elevation(place):
    distance = (place[:, None] - bumps).square().sum(2)
    return (heights * torch.exp(-distance / 0.15)).sum(1)


class Sine(nn.Module):
    def __init__(self, inputs, outputs, frequency=1.0):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.frequency = frequency

    def forward(self, x):
        return torch.sin(self.frequency * self.linear(x))


place = torch.rand(SURVEYED, 2) * 2 - 1
height = elevation(place) + 0.02 * torch.randn(SURVEYED)
gaps = torch.rand(600, 2) * 2 - 1

terrain = nn.Sequential(Sine(2, 48, frequency=5.0), Sine(48, 48), nn.Linear(48, 1))
optimizer = torch.optim.Adam(terrain.parameters(), lr=3e-3, betas=(0.999, 0.999))
for step in range(400):
    loss = nn.functional.huber_loss(terrain(place).squeeze(1), height)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 50 == 0:
        print(f"step {step:4d}  loss {loss.item():.5f}")

with torch.no_grad():
    rmse = (terrain(gaps).squeeze(1) - elevation(gaps)).square().mean().sqrt().item()
print(f"metric={rmse:.5f}")
