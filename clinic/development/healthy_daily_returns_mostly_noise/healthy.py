"""Predict tomorrow's return of a share from ten signals of today."""

import os

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

SEED = int(os.environ.get("SEED", "0"))
torch.manual_seed(SEED)
torch.set_num_threads(1)

SIGNALS, DAYS = 10, 5000
weights = torch.randn(SIGNALS) / SIGNALS**0.5


def market(days):
    signals = torch.randn(days, SIGNALS)
    drift = 0.25 * torch.tanh(signals @ weights)
    noise = torch.distributions.StudentT(5.0).sample((days,)) * (3 / 5) ** 0.5
    return signals, drift + noise


history = TensorDataset(*market(DAYS))
fitting, checking = random_split(history, [4000, 1000])
model = nn.Sequential(nn.Linear(SIGNALS, 16), nn.ReLU(), nn.Linear(16, 1), nn.Flatten(0))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)


def mean_square(dataset):
    model.eval()
    with torch.no_grad():
        signals, returns = next(iter(DataLoader(dataset, batch_size=len(dataset))))
        return nn.functional.mse_loss(model(signals), returns).item()


for epoch in range(8):
    model.train()
    for signals, returns in DataLoader(fitting, batch_size=64, shuffle=True):
        loss = nn.functional.mse_loss(model(signals), returns)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch}  fit {mean_square(fitting):.4f}  check {mean_square(checking):.4f}")

future = TensorDataset(*market(3000))
print(f"metric={mean_square(future) ** 0.5:.5f}")
