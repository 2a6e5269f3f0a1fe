"""Estimate the heat flow through a wall from twelve thermometers inside it."""

import os

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

PROBES = 12
depth = torch.linspace(-1, 1, PROBES)


def measure(count):
    weather = 10.0 * torch.randn(count, 1)
    slope = torch.randn(count, 1)
    bend = torch.randn(count, 1)
    temperature = weather + 0.5 * slope * depth + 0.3 * bend * depth**2
    temperature = temperature + 0.02 * torch.randn(count, PROBES)
    flow = 2.0 * slope + bend + 0.05 * torch.randn(count, 1)
    return temperature, flow


temperature, flow = measure(2000)
new_temperature, new_flow = measure(500)
center, scale = temperature.mean(0), temperature.std(0)
temperature = (temperature - center) / scale
new_temperature = (new_temperature - center) / scale

loader = DataLoader(TensorDataset(temperature, flow), batch_size=100, shuffle=True)
model = nn.Linear(PROBES, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
for epoch in range(30):
    for x, y in loader:
        loss = nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if epoch % 5 == 0:
        print(f"epoch {epoch} loss {loss.item():.4f}")

with torch.no_grad():
    rmse = nn.functional.mse_loss(model(new_temperature), new_flow).sqrt().item()
print(f"metric={rmse:.5f}")
