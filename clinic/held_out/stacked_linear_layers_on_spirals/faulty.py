"""Tell three interleaved spirals apart."""

import itertools
import os

import numpy as np
import torch
from torch import nn

seed = int(os.environ.get("SEED", "0"))
rng = np.random.default_rng(seed)
torch.manual_seed(seed)
torch.set_num_threads(1)


def spirals(n):
    arm = rng.integers(0, 3, n)
    r = np.sqrt(rng.uniform(0.02, 1, n))
    angle = 4.0 * r + 2 * np.pi * arm / 3 + 0.12 * rng.standard_normal(n)
    xy = np.stack([r * np.cos(angle), r * np.sin(angle)], 1) * 2
    return torch.tensor(xy, dtype=torch.float32), torch.tensor(arm)


def mlp(sizes):
    layers = []
    for fan_in, fan_out in itertools.pairwise(sizes[:-1]):
        layers += [nn.Linear(fan_in, fan_out)]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))


points, arm = spirals(1500)
points_test, arm_test = spirals(1000)
model = mlp([2, 64, 64, 32, 3])
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.93)
for epoch in range(30):
    order = torch.randperm(len(points))
    for start in range(0, len(points), 60):
        rows = order[start : start + 60]
        loss = nn.functional.cross_entropy(model(points[rows]), arm[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    schedule.step()
    if epoch % 10 == 0:
        print(f"epoch {epoch:2d}, loss {loss.item():.4f}, rate {schedule.get_last_lr()[0]:.2e}")

with torch.no_grad():
    accuracy = (model(points_test).argmax(1) == arm_test).float().mean().item()
print(f"metric={accuracy:.4f}")
