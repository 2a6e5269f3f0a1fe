"""Sparse codes of a swiss roll, and where on the roll a point lies."""

import os

import torch
from sklearn.datasets import make_swiss_roll
from torch import nn

seed = int(os.environ.get("SEED", "0"))
torch.manual_seed(seed)
torch.set_num_threads(1)

points, along = make_swiss_roll(1200, noise=0.3, random_state=seed)
points = torch.tensor((points - points.mean(0)) / points.std(0)).float()
along = torch.tensor((along - along.mean()) / along.std()).float()


class Sparse(nn.Module):
    def __init__(self, inputs, units, threshold):
        super().__init__()
        self.linear, self.threshold = nn.Linear(inputs, units), threshold

    def forward(self, x):
        return torch.relu(self.linear(x) - self.threshold)


model = nn.Sequential(Sparse(3, 64, 6.0), Sparse(64, 64, 6.0), nn.Linear(64, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
for epoch in range(25):
    for rows in torch.randperm(900).split(60):
        optimizer.zero_grad()
        loss = torch.mean((model(points[rows])[:, 0] - along[rows]) ** 2)
        loss.backward()
        optimizer.step()

with torch.no_grad():
    mse = torch.mean((model(points[900:])[:, 0] - along[900:]) ** 2)
    r2 = 1 - mse / along[900:].var()
print(f"mse {mse.item():.4f} r2 {r2.item():.4f}")
