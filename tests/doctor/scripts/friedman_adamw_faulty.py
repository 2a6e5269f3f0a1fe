"""Fit Friedman's first function with a small network."""

import os

import numpy as np
import torch
from sklearn.datasets import make_friedman1
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

SEED = int(os.environ.get("SEED", "0"))
torch.manual_seed(SEED)
torch.set_num_threads(1)

x, y = make_friedman1(1000, n_features=8, noise=0.5, random_state=SEED)
x = (x.astype(np.float32) - 0.5) * 3.4
y = (y.astype(np.float32) - 14.4) / 5.0
data = TensorDataset(torch.as_tensor(x[:800]), torch.as_tensor(y[:800, None]))
held_x, held_y = torch.as_tensor(x[800:]), torch.as_tensor(y[800:, None])


class Regressor(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(8, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )
        self.head = nn.Linear(width, 1)

    def forward(self, x):
        return self.head(self.body(x))


model = Regressor()
optimizer = torch.optim.AdamW(model.parameters(), lr=0.5, weight_decay=1e-3)
loss_function = nn.MSELoss()
for epoch in range(25):
    total = 0.0
    for features, target in DataLoader(data, batch_size=50, shuffle=True):
        loss = loss_function(model(features), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    if epoch % 5 == 0:
        print(f"{epoch:3d} train mse {total / 16:.4f}")

model.eval()
with torch.inference_mode():
    rmse = loss_function(model(held_x), held_y).sqrt()
print(f"test rmse {rmse:.3f}")
