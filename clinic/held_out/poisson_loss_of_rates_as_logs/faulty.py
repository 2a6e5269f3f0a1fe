"""Predict the number of calls to a help desk per hour."""

import math
import os

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)


def calls(n):
    hour, weekday = 24 * torch.rand(n), torch.randint(7, (n,))
    promotion = (torch.rand(n) < 0.2).float()
    busy = torch.exp(-(((hour - 11) / 4) ** 2)) + 0.6 * torch.exp(-(((hour - 18) / 2) ** 2))
    rate = 1.0 + 9.0 * busy * (weekday < 5) + 3.0 * promotion
    angle = 2 * math.pi * hour / 24
    x = [torch.sin(angle), torch.cos(angle), torch.sin(2 * angle), torch.cos(2 * angle), promotion]
    x = torch.cat([torch.stack(x, 1), nn.functional.one_hot(weekday, 7).float()], 1)
    return x, rate, torch.poisson(rate)


x, rate, count = calls(3000)
train_loader = DataLoader(TensorDataset(x[:2000], count[:2000]), batch_size=50, shuffle=True)
x_valid, count_valid = x[2000:2400], count[2000:2400]
x_test, rate_test = x[2400:], rate[2400:]

model = nn.Sequential(
    nn.Linear(12, 32), nn.ELU(), nn.Linear(32, 16), nn.ELU(), nn.Linear(16, 1), nn.Softplus()
)
criterion = nn.PoissonNLLLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=2)
for epoch in range(15):
    model.train()
    for features, target in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(features).squeeze(1), target)
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        valid = criterion(model(x_valid).squeeze(1), count_valid)
    scheduler.step(valid)
    if epoch % 5 == 0:
        print(f"epoch {epoch} validation {valid.item():.4f}")

with torch.no_grad():
    error = model(x_test).squeeze(1) - rate_test
print(f"metric={error.square().mean().sqrt().item():.4f}")
