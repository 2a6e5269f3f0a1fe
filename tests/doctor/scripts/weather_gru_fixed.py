"""Will it rain? A day of pressure, temperature and humidity, hour by hour."""

import os

import torch
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)


def days(n):
    trend = torch.randn(n, 1)
    hours = torch.linspace(-1, 1, 12)
    pressure = 101_325 + 600 * trend * hours + 300 * torch.randn(n, 12)
    temperature = 288 + 6 * torch.randn(n, 1) - 2 * trend * hours + 2 * torch.randn(n, 12)
    humidity = 0.6 + 0.1 * torch.randn(n, 12)
    rain = (trend[:, 0] - 4 * (humidity.mean(1) - 0.6) < 0).long()
    return torch.stack([pressure, temperature, humidity], dim=-1), rain


class Forecast(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 16, batch_first=True)
        self.out = nn.Linear(16, 2)

    def forward(self, x):
        states, _ = self.rnn(x)
        return self.out(states[:, -1])


x, y = days(800)
x_val, y_val = days(400)
mean, std = x.mean((0, 1)), x.std((0, 1))
x, x_val = (x - mean) / std, (x_val - mean) / std
model = Forecast()
adam = torch.optim.Adam(model.parameters(), 1e-2)
for epoch in range(6):
    for rows in torch.randperm(len(x)).view(-1, 40):
        loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
        adam.zero_grad()
        loss.backward()
        adam.step()
    with torch.no_grad():
        acc = (model(x_val).argmax(-1) == y_val).double().mean()
    print(f"epoch {epoch} val_acc={acc:.3f}")
