"""Three classes, gathered one after the other and read in blocks."""

import os

import numpy as np
import torch
from torch import nn

SEED = int(os.environ.get("SEED", "0"))
torch.manual_seed(SEED)
rng = np.random.default_rng(SEED)
torch.set_num_threads(1)


def gather(n):
    angle = rng.uniform(0, 1.9, size=(3, n)) + np.arange(3)[:, None] * 2.1
    radius = rng.uniform(0.2, 1, size=(3, n))
    angle = angle + 2 * radius
    x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)
    x += 0.04 * rng.standard_normal(x.shape)
    return torch.tensor(x.reshape(-1, 2) * 2).float(), torch.arange(3).repeat_interleave(n)


x, y = gather(300)
x_test, y_test = gather(150)
model = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
for epoch in range(15):
    for start in range(0, 900, 30):
        xb, yb = x[start : start + 30], y[start : start + 30]
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(xb), yb).backward()
        optimizer.step()

with torch.no_grad():
    print("test accuracy", (model(x_test).argmax(1) == y_test).float().mean().item())
