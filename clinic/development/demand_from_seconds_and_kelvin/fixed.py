"""Hourly demand of a bicycle rental from the clock, the calendar and the weather."""

import os

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

SEED = int(os.environ.get("SEED", "0"))
torch.manual_seed(SEED)
torch.set_num_threads(1)


class Rentals(Dataset):
    def __init__(self, n, seed):
        rng = np.random.default_rng(seed)
        second = rng.uniform(0, 86400, n)
        day = rng.integers(1, 366, n)
        kelvin = 283 + 10 * np.sin(2 * np.pi * (day - 110) / 365) + 4 * rng.standard_normal(n)
        humidity = rng.uniform(30, 95, n)
        hour = second / 3600
        rush = np.exp(-(((hour - 8) / 1.5) ** 2)) + 1.3 * np.exp(-(((hour - 17.5) / 2.5) ** 2))
        comfort = np.exp(-(((kelvin - 294) / 12) ** 2))
        demand = 3 * rush * comfort + comfort - 0.008 * (humidity - 60)
        demand += 0.1 * rng.standard_normal(n)
        x = np.stack([second, day, kelvin, humidity], 1)
        x = (x - [43200, 183, 283, 62]) / [25000, 105, 8, 19]
        self.x = torch.tensor(x, dtype=torch.float32)
        self.y = torch.tensor(demand, dtype=torch.float32)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


train_set, test_set = Rentals(2000, SEED), Rentals(800, SEED + 1000)
loader = DataLoader(train_set, batch_size=64, shuffle=True)
model = nn.Sequential(
    nn.Linear(4, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 1), nn.Flatten(0)
)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=30)
for epoch in range(30):
    running = 0.0
    for x, y in loader:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        running += loss.item()
    scheduler.step()
    if epoch % 10 == 0:
        print(f"epoch {epoch}: train mse {running / len(loader):.4f}")

with torch.no_grad():
    rmse = nn.functional.mse_loss(model(test_set.x), test_set.y).sqrt().item()
print(f"metric={rmse:.4f}")
