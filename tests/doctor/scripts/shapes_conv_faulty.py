"""Horizontal, vertical or diagonal stripes in noisy little images."""

import os

import torch
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)


def stripes(n):
    kind = torch.randint(0, 4, (n,))
    row, column = torch.meshgrid(torch.arange(10.0), torch.arange(10.0), indexing="ij")
    coordinate = torch.stack([row, column, (row + column) * 0.7, (row - column) * 0.7])
    phase = 6.3 * torch.rand(n, 1, 1)
    image = torch.sin(1.6 * coordinate[kind] + phase) + 0.8 * torch.randn(n, 10, 10)
    return image[:, None], kind


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 16, 5)
        self.fc = nn.Linear(16, 4)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.constant_(module.weight, 0.05)
                nn.init.zeros_(module.bias)

    def forward(self, x):
        return self.fc(torch.relu(self.conv(x)).mean((2, 3)))


x, y = stripes(800)
x_test, y_test = stripes(400)
net = Net()
optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
for epoch in range(8):
    for rows in torch.randperm(800).split(40):
        loss = nn.functional.cross_entropy(net(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

wrong = 0
with torch.no_grad():
    for i in range(0, 400, 100):
        wrong += (net(x_test[i : i + 100]).argmax(1) != y_test[i : i + 100]).sum().item()
print(f"test error rate {wrong / 400:.3f}")
