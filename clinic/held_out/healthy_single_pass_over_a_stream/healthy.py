"""Learn delivery times from a stream of orders, each seen once."""

import os

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

SEED = int(os.environ.get("SEED", "0"))
torch.manual_seed(SEED)
torch.set_num_threads(1)

SHOPS, STREETS = 50, 80
world = np.random.default_rng(SEED)
shop_delay = world.standard_normal(SHOPS)
street_delay = 0.7 * world.standard_normal(STREETS)


class Orders(IterableDataset):
    def __init__(self, count, seed):
        self.count, self.seed = count, seed

    def __iter__(self):
        rng = np.random.default_rng(self.seed)
        for _ in range(self.count):
            shop, street, load = rng.integers(SHOPS), rng.integers(STREETS), rng.standard_normal()
            minutes = shop_delay[shop] + street_delay[street] + 0.5 * load**2
            minutes += 0.8 * rng.standard_normal()
            yield np.array([shop, street]), np.float32(load), np.float32(minutes)


class DeliveryTime(nn.Module):
    def __init__(self):
        super().__init__()
        self.shop = nn.Embedding(SHOPS, 1)
        self.street = nn.Embedding(STREETS, 1)
        self.load = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, place, load):
        parts = self.shop(place[:, 0]) + self.street(place[:, 1]) + self.load(load[:, None])
        return parts.squeeze(1)


model = DeliveryTime()
optimizer = torch.optim.Adagrad(model.parameters(), lr=0.3)
for batch, (place, load, minutes) in enumerate(DataLoader(Orders(25000, SEED + 1), batch_size=50)):
    loss = nn.functional.mse_loss(model(place, load), minutes)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if batch % 100 == 0:
        print(f"orders {50 * batch}  loss {loss.item():.3f}")

with torch.no_grad():
    place, load, minutes = next(iter(DataLoader(Orders(3000, SEED + 2), batch_size=3000)))
    print(f"metric={nn.functional.mse_loss(model(place, load), minutes).sqrt().item():.5f}")
