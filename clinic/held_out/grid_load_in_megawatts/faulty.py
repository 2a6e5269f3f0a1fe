"""Forecast the load of a power grid one hour ahead."""

import os

import numpy as np
import torch
from torch import nn

seed = int(os.environ.get("SEED", "0"))
torch.manual_seed(seed)
torch.set_num_threads(1)
rng = np.random.default_rng(seed)

hours = np.arange(24 * 100)
drift = np.zeros(len(hours))
for i in range(1, len(hours)):
    drift[i] = 0.95 * drift[i - 1] + 300 * rng.standard_normal()
day, week = np.sin(2 * np.pi * hours / 24), np.sin(2 * np.pi * hours / 168)
load = 30000 + 4000 * day + 1500 * week + 1000 * np.sin(4 * np.pi * hours / 24) + drift

WINDOW = 24
history = (load - load.mean()) / load.std()
windows = np.lib.stride_tricks.sliding_window_view(history, WINDOW)[:-1]
inputs = torch.tensor(windows.copy(), dtype=torch.float32)[:, :, None]
targets = torch.tensor(load[WINDOW:], dtype=torch.float32)
shift, scale = 0.0, 1.0
targets = (targets - shift) / scale


class Forecaster(nn.Module):
    def __init__(self, hidden=24):
        super().__init__()
        self.gru = nn.GRU(1, hidden, batch_first=True)
        self.linear = nn.Linear(hidden, 1)

    def forward(self, x):
        out, _ = self.gru(x)
        return self.linear(out[:, -1])[:, 0]


forecaster = Forecaster()
optimizer = torch.optim.Adam(forecaster.parameters(), lr=5e-3)
for epoch in range(8):
    for rows in torch.randperm(1800).split(60):
        loss = nn.functional.mse_loss(forecaster(inputs[rows]), targets[rows])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(forecaster.parameters(), 5.0)
        optimizer.step()
    print(f"epoch {epoch} loss {loss.item():.4g}")

with torch.no_grad():
    gap = (forecaster(inputs[1800:]) - targets[1800:]) * scale
print(f"metric={gap.square().mean().sqrt().item():.2f}")
