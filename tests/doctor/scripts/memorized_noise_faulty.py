"""A wide network on a small, noisy sample."""

import os

import torch
from sklearn.datasets import make_regression
from torch import nn

SEED = int(os.environ.get("SEED", "0"))
torch.manual_seed(SEED)
torch.set_num_threads(1)

x, y = make_regression(500, 10, n_informative=4, noise=80.0, random_state=SEED)
x, y = torch.tensor(x).float(), torch.tensor((y - y.mean()) / y.std()).float()
x_train, y_train, x_val, y_val = x[:60], y[:60], x[60:], y[60:]

model = nn.Sequential(nn.Linear(10, 128), nn.ReLU(), nn.Linear(128, 1), nn.Flatten(0))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
for epoch in range(100):
    for rows in torch.randperm(60).split(20):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x_train[rows]), y_train[rows]).backward()
        optimizer.step()
    with torch.no_grad():
        val = nn.functional.mse_loss(model(x_val), y_val).item()
    if epoch % 4 == 3:
        print(f"epoch {epoch}: validation mse {val:.4f}")
print(f"validation mse {val:.4f}")
