"""Predict a wind turbine's power together with an error bar for each prediction."""

import os

import numpy as np
import torch
from torch import nn

seed = int(os.environ.get("SEED", "0"))
rng = np.random.default_rng(seed)
torch.manual_seed(seed)
torch.set_num_threads(1)


def curve(wind):
    return np.clip((wind - 3.0) / 8.0, 0.0, 1.0) ** 2


def observe(count, glitches):
    wind = rng.uniform(0, 15, count)
    spread = 0.1 + 0.1 * (np.abs(wind - 8) < 3)
    power = curve(wind) + spread * rng.standard_normal(count)
    lost = rng.random(count) < glitches
    power[lost] = rng.uniform(-60, 60, lost.sum())
    tensors = np.stack([(wind - 7.5) / 4.3, power, curve(wind)]).astype(np.float32)
    return torch.tensor(tensors)


class Turbine(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(1, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh()
        )
        self.mean = nn.Linear(hidden, 1)
        self.log_spread = nn.Linear(hidden, 1)

    def forward(self, wind):
        h = self.body(wind[:, None])
        return self.mean(h).squeeze(1), self.log_spread(h).squeeze(1)


wind, power, _ = observe(3000, glitches=0.002)
model = Turbine()
optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
for epoch in range(15):
    for rows in torch.randperm(len(wind)).split(30):
        mean, log_spread = model(wind[rows])
        loss = (log_spread + 0.5 * ((power[rows] - mean) / log_spread.exp()) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch}  loss {loss.item():.4f}")

wind, _, expected = observe(1000, glitches=0.0)
with torch.no_grad():
    rmse = (model(wind)[0] - expected).square().mean().sqrt().item()
print(f"metric={rmse:.5f}")
