"""Classify galaxies by their shape parameters with a compact model."""

import os

import torch
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)


def galaxies(n):
    """Ten standardized shape parameters and one of four classes."""
    kind = torch.randint(4, (n,))
    x = torch.randn(n, 10)
    x[:, 0] += torch.tensor([-1.5, 0.5, 0.5, 1.5])[kind]
    x[:, 1] = x[:, 1] * torch.tensor([0.5, 1.5, 0.5, 1.5])[kind]
    x[:, 2] += torch.tensor([0.0, 2.0, -2.0, 0.0])[kind]
    x[:, 3] += 0.5 * x[:, 2] ** 2 * (kind == 3)
    return x, kind


dtype = torch.float16
model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))
model = model.to(dtype)
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
x, kind = galaxies(2000)
x_test, kind_test = galaxies(1000)

for epoch in range(15):
    for rows in torch.randperm(2000).split(50):
        scores = model(x[rows].to(dtype))
        loss = nn.functional.cross_entropy(scores.float(), kind[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if epoch % 5 == 0:
        print(f"epoch {epoch}: loss {loss.item():.4f}")

with torch.no_grad():
    answer = model(x_test.to(dtype)).argmax(1)
print(f"metric={(answer == kind_test).float().mean().item():.4f}")
