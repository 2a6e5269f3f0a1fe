"""Handwritten digits from six hundred grainy photographs."""

import os

import torch
from sklearn.datasets import load_digits
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

x, y = (torch.tensor(part, dtype=torch.float32) for part in load_digits(return_X_y=True))
order = torch.randperm(len(x))
x, y = x[order] / 16.0 + 0.4 * torch.randn(len(x), 64), y[order].long()
x_train, x_test, y_train, y_test = x[:600], x[600:], y[:600], y[600:]


class Net(nn.Module):
    def __init__(self, hidden=256):
        super().__init__()
        self.inner = nn.Linear(64, hidden)
        self.outer = nn.Linear(hidden, 10)
        self.blank, self.drop = nn.Dropout(0.2), nn.Dropout(0.5)

    def forward(self, x):
        return self.outer(self.drop(torch.relu(self.inner(self.blank(x)))))


net = Net()
optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
for epoch in range(40):
    net.train()
    for rows in torch.randperm(len(x_train)).split(32):
        loss = nn.functional.cross_entropy(net(x_train[rows]), y_train[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if epoch % 8 == 0:
        print(f"epoch {epoch}  loss {loss.item():.4f}")

net.eval()
with torch.no_grad():
    print(f"metric={(net(x_test).argmax(1) == y_test).float().mean().item():.4f}")
