"""Bands for tomorrow's electricity price: the 10, 50 and 90 percent quantiles."""

import os

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

LEVELS = torch.tensor([0.1, 0.5, 0.9])


def days(count):
    hour, wind = torch.rand(count) * 2 - 1, torch.rand(count) * 2 - 1
    middle = torch.sin(3 * hour) - 0.5 * wind
    spread = 0.3 + 0.4 * (wind < 0)
    price = middle + spread * torch.distributions.StudentT(3.0).sample((count,))
    return torch.stack([hour, wind], 1), price


def pinball(quantiles, price):
    miss = price[:, None] - quantiles
    return torch.maximum(LEVELS * miss, (LEVELS - 1) * miss).mean()


x, price = days(3000)
model = nn.Sequential(nn.Linear(2, 32), nn.SiLU(), nn.Linear(32, 32), nn.SiLU(), nn.Linear(32, 3))
weights = [p for p in model.parameters() if p.dim() > 1]
offsets = [p for p in model.parameters() if p.dim() == 1]
optimizer = torch.optim.AdamW(
    [{"params": weights, "weight_decay": 1e-2}, {"params": offsets, "weight_decay": 0.0}], lr=3e-3
)
average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.99))
for epoch in range(15):
    for rows in torch.randperm(len(x)).split(50):
        loss = pinball(model(x[rows]), price[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update_parameters(model)
    print(f"epoch {epoch} loss {loss.item():.4f}")

x, price = days(3000)
with torch.no_grad():
    print(f"metric={pinball(average(x), price).item():.5f}")
