"""Forecast a seasonal series with dilated causal convolutions."""

import os

import numpy as np
import torch
from torch import nn

seed = int(os.environ.get("SEED", "0"))
rng = np.random.default_rng(seed)
torch.manual_seed(seed)
torch.set_num_threads(1)


def series(n):
    """Two seasons whose product with a slow wave matters, and an AR(1) disturbance."""
    t = np.arange(n)
    noise = np.zeros(n)
    for i in range(1, n):
        noise[i] = 0.6 * noise[i - 1] + 0.25 * rng.standard_normal()
    return np.sin(2 * np.pi * t / 12) * (1 + 0.5 * np.sin(2 * np.pi * t / 90)) + noise


class CausalConv(nn.Module):
    def __init__(self, channels_in, channels_out, dilation):
        super().__init__()
        self.pad = 2 * dilation
        self.conv = nn.Conv1d(channels_in, channels_out, 3, dilation=dilation)
        self.skip = nn.Conv1d(channels_in, channels_out, 1)

    def forward(self, x):
        h = self.conv(nn.functional.pad(x, (self.pad, 0)))
        return torch.relu(h) + self.skip(x)


class Forecaster(nn.Module):
    def __init__(self, channels=16):
        super().__init__()
        widths = [1, channels, channels, channels]
        self.blocks = nn.Sequential(*(CausalConv(widths[i], channels, 2**i) for i in range(3)))
        self.head = nn.Conv1d(channels, 1, 1)

    def forward(self, x):
        return self.head(self.blocks(x))[:, 0, -1]


values = series(3000)
values = (values - values[:2200].mean()) / values[:2200].std()
WINDOW = 24
windows = np.lib.stride_tricks.sliding_window_view(values, WINDOW + 1).copy()
windows = torch.tensor(windows, dtype=torch.float32)
x, y = windows[:, None, :WINDOW], windows[:, -1]
train_rows, test_rows = torch.arange(2150), torch.arange(2220, len(x))

model = Forecaster()
EPOCHS, BATCH = 10, 43
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.01)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * 50)
for epoch in range(EPOCHS):
    for rows in train_rows[torch.randperm(2150)].split(BATCH):
        loss = nn.functional.mse_loss(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    print(f"epoch {epoch}: {loss.item():.4f}")

with torch.no_grad():
    rmse = nn.functional.mse_loss(model(x[test_rows]), y[test_rows]).sqrt().item()
print(f"metric={rmse:.5f}")
