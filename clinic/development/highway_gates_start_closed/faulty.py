"""Highway network for the Friedman regression problem."""

import os

import torch
from sklearn.datasets import make_friedman1
from torch import nn

SEED = int(os.environ.get("SEED", "0"))
torch.manual_seed(SEED)
torch.set_num_threads(1)


class Highway(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.transform = nn.Linear(width, width)
        self.gate = nn.Linear(width, width)
        nn.init.constant_(self.gate.bias, -12.0)

    def forward(self, x):
        g = torch.sigmoid(self.gate(x))
        return g * torch.tanh(self.transform(x)) + (1 - g) * x


class Regressor(nn.Module):
    def __init__(self, inputs, width=32, depth=3):
        super().__init__()
        self.embed = nn.Linear(inputs, width)
        self.body = nn.Sequential(*(Highway(width) for _ in range(depth)))
        self.out = nn.Linear(width, 1)

    def forward(self, x):
        return self.out(self.body(self.embed(x))).squeeze(-1)


X, y = make_friedman1(n_samples=1500, n_features=8, noise=0.5, random_state=SEED)
X = torch.tensor((X - 0.5) / 0.29, dtype=torch.float32)
y = torch.tensor(y, dtype=torch.float32)
X_train, y_train, X_test, y_test = X[:1100], y[:1100], X[1100:], y[1100:]
center, spread = y_train.mean(), y_train.std()

net = Regressor(X.shape[1])
opt = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9, nesterov=True)
for epoch in range(30):
    order = torch.randperm(len(X_train))
    for i in range(0, len(order), 50):
        rows = order[i : i + 50]
        loss = nn.functional.mse_loss(net(X_train[rows]), (y_train[rows] - center) / spread)
        opt.zero_grad()
        loss.backward()
        opt.step()
    if epoch % 10 == 9:
        print(f"epoch {epoch + 1:3d}  mse {loss.item():.4f}")

with torch.no_grad():
    rmse = (net(X_test) * spread + center - y_test).square().mean().sqrt()
print(f"metric={rmse.item():.4f}")
