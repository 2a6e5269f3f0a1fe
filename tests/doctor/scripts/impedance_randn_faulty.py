"""Impedance of a circuit (Friedman's second function) from its parts."""

import os

import torch
import torch.nn.functional as F
from sklearn.datasets import make_friedman2
from torch import nn

seed = int(os.environ.get("SEED", "0"))
torch.manual_seed(seed)
torch.set_num_threads(1)

x, y = make_friedman2(900, noise=20.0, random_state=seed)
x = (x - x.mean(0)) / x.std(0)
y = (y - y.mean()) / y.std()
x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)


class Layer(nn.Module):
    def __init__(self, fan_in, fan_out):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(fan_in, fan_out))
        self.bias = nn.Parameter(torch.zeros(fan_out))

    def forward(self, x):
        return x @ self.weight + self.bias


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = Layer(4, 100), Layer(100, 100), Layer(100, 1)

    def forward(self, x):
        return self.third(F.relu(self.second(F.relu(self.first(x))))).squeeze(1)


net = Net()
optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
for epoch in range(20):
    for rows in torch.randperm(700).split(50):
        loss = F.mse_loss(net(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

with torch.no_grad():
    held_out = F.mse_loss(net(x[700:]), y[700:])
print(f"MSE on unseen circuits: {held_out.item():.4f}")
