"""Denoise sine waves with a small autoencoder."""

import os

import torch
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

grid = torch.linspace(0, 1, 32)


def waves(n):
    frequency, phase = 1 + 3 * torch.rand(n, 1), 6.28 * torch.rand(n, 1)
    clean = torch.sin(6.28 * frequency * grid + phase)
    return clean + 0.3 * torch.randn(n, 32), clean


model = nn.Sequential(nn.Linear(32, 24), nn.Tanh(), nn.Linear(24, 32))
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
for step in range(400):
    noisy, clean = waves(64)
    loss = nn.functional.smooth_l1_loss(model(noisy), clean)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

noisy, clean = waves(500)
with torch.no_grad():
    print("reconstruction rmse:", (model(noisy) - clean).square().mean().sqrt().item())
