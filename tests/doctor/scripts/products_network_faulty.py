"""A product of three factors, learned by a network of gated layers."""

import os

import torch
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)


class Gated(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.value, self.gate = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x):
        return x + self.value(x) * self.gate(x)


x = torch.randn(1500, 12)
y = x[:, 0] * x[:, 1] + 0.5 * x[:, 2] * x[:, 3] - x[:, 4]
y_val, x_val = y[1200:], x[1200:]
model = nn.Sequential(
    nn.Linear(12, 32), Gated(32), Gated(32), Gated(32), Gated(32), nn.Linear(32, 1)
)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
for epoch in range(12):
    for rows in torch.randperm(1200).split(60):
        loss = nn.functional.mse_loss(model(x[rows]).flatten(), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

with torch.no_grad():
    print("val mse", nn.functional.mse_loss(model(x_val).flatten(), y_val).item())
