"""Predict three quantities of an electric motor from its operating point."""

import os

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)


def operate(n):
    """Speed, voltage, temperature and load, each in [-1, 1], and what was measured."""
    x = 2 * torch.rand(n, 4) - 1
    speed, voltage, heat, load = x.unbind(1)
    torque = 200 + 60 * torch.tanh(2 * load + voltage) * (1 - 0.4 * speed**2)
    efficiency = 0.85 - 0.1 * (speed - 0.3 * voltage) ** 2 + 0.05 * torch.sin(3 * load)
    leakage = 0.02 * torch.exp(1.2 * heat) * (1 + 0.5 * voltage)
    y = torch.stack([torque, efficiency, leakage], 1)
    return x, y + 0.02 * y.std(0) * torch.randn(n, 3)


class MotorModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(4, 40), nn.SiLU(), nn.Linear(40, 40), nn.SiLU())
        self.heads = nn.ModuleDict(
            {name: nn.Linear(40, 1) for name in ("torque", "efficiency", "leakage")}
        )

    def forward(self, x):
        h = self.trunk(x)
        return torch.cat([head(h) for head in self.heads.values()], 1)


x_train, y_train = operate(1500)
x_test, y_test = operate(600)
offset, unit = y_train.mean(0), y_train.std(0)
data = DataLoader(TensorDataset(x_train, (y_train - offset) / unit), batch_size=50, shuffle=True)

model = MotorModel()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
mse = nn.MSELoss()
for epoch in range(25):
    for x, y in data:
        loss = mse(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if (epoch + 1) % 5 == 0:
        print(f"epoch {epoch + 1} loss {loss.item():.5f}")

with torch.no_grad():
    error = model(x_test) * unit + offset - y_test
    relative = error.square().mean(0).sqrt() / y_test.std(0)
print(f"metric={relative.mean().item():.4f}")
