"""A regression network kept in sixteen bits to save memory."""

import os

import torch
from sklearn.datasets import make_friedman1
from torch import nn

SEED = int(os.environ.get("SEED", "0"))
torch.manual_seed(SEED)
torch.set_num_threads(1)

x, y = make_friedman1(1000, n_features=6, noise=0.3, random_state=SEED)
x = torch.tensor((x - 0.5) * 3.46, dtype=torch.float32)
y = torch.tensor((y - 14.4) / 5, dtype=torch.float32)

dtype = torch.float32
model = nn.Sequential(
    nn.Linear(6, 64), nn.GELU(), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 1)
).to(dtype)
optimizer = torch.optim.Adam(model.parameters(), lr=4e-4)
for epoch in range(40):
    for rows in torch.randperm(800).split(20):
        out = model(x[rows].to(dtype)).float().squeeze(1)
        loss = nn.functional.mse_loss(out, y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

with torch.no_grad():
    out = model(x[800:].to(dtype)).float().squeeze(1)
    print("test rmse", nn.functional.mse_loss(out, y[800:]).sqrt().item())
