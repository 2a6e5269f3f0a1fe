"""Interpolate the height of a hilly terrain from survey points."""

import os

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

hills = 4 * torch.rand(14, 2) - 2
heights = torch.randn(14)


def height(position):
    distance = torch.cdist(position, hills)
    return (heights * torch.exp(-2.5 * distance**2)).sum(1, keepdim=True)


points = 4 * torch.rand(1600, 2) - 2
measured = height(points) + 0.02 * torch.randn(1600, 1)
scale = measured.std()
loader = DataLoader(TensorDataset(points, measured / scale), batch_size=40, shuffle=True)
test_points = 4 * torch.rand(1000, 2) - 2

hidden = 54
surface = nn.Sequential(
    nn.Linear(2, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, 1)
)
epochs = 30
optimizer = torch.optim.Adam(surface.parameters())
cycle = torch.optim.lr_scheduler.OneCycleLR(
    optimizer, max_lr=1e-2, epochs=epochs, steps_per_epoch=len(loader)
)
for epoch in range(epochs):
    total = 0.0
    for position, target in loader:
        loss = nn.functional.mse_loss(surface(position), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        cycle.step()
        total += loss.item()
    if epoch % 6 == 0:
        print(f"epoch {epoch:2d} mean loss {total / len(loader):.4f}")

surface.eval()
with torch.no_grad():
    error = surface(test_points) - height(test_points) / scale
print(f"metric={error.square().mean().sqrt().item():.5f}")
