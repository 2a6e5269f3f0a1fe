"""Ratings from item vectors and a small network on top."""

import os

import torch
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

ITEMS, SIZE = 150, 4
taste = torch.randn(ITEMS, 2)
left, right = torch.randint(0, ITEMS, (2, 5000))
score = (taste[left] * taste[right]).sum(1) + 0.1 * torch.randn(5000)

vectors = nn.Parameter(0.5 * torch.randn(ITEMS, SIZE))
network = nn.Sequential(nn.Linear(2 * SIZE, 48), nn.ReLU(), nn.Linear(48, 1))


def predict(a, b):
    return network(torch.cat([vectors[a], vectors[b]], dim=1)).squeeze(1)


optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
for epoch in range(8):
    for rows in torch.randperm(4000).split(80):
        loss = nn.functional.mse_loss(predict(left[rows], right[rows]), score[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch}: last batch {loss.item():.3f}")

with torch.no_grad():
    rmse = nn.functional.mse_loss(predict(left[4000:], right[4000:]), score[4000:]) ** 0.5
print(f"rmse on unseen pairs: {rmse:.3f}")
