"""Disease progression from ten measurements, with a loss that forgives wrong entries."""

import os

import torch
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split
from torch import nn

SEED = int(os.environ.get("SEED", "0"))
torch.manual_seed(SEED)
torch.set_num_threads(1)


class Welsch(nn.Module):
    """c^2 (1 - exp(-r^2 / 2 c^2)): half a square near zero, a constant far away."""

    def __init__(self, c):
        super().__init__()
        self.c = c

    def forward(self, output, target):
        return self.c**2 * (1 - torch.exp(-(((output - target) / self.c) ** 2) / 2)).mean()


x, y = load_diabetes(return_X_y=True)
x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.3, random_state=SEED)
mean, std = x_train.mean(0), x_train.std(0)
x_train = torch.tensor((x_train - mean) / std, dtype=torch.float32)
x_test = torch.tensor((x_test - mean) / std, dtype=torch.float32)
y_train = torch.tensor(y_train / 100, dtype=torch.float32)
y_test = torch.tensor(y_test / 100, dtype=torch.float32)
wrong = torch.rand(len(y_train)) < 0.1
y_train[wrong] += 12.0

model = nn.Linear(10, 1)
criterion = Welsch(c=0.03)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
for epoch in range(60):
    for rows in torch.randperm(len(x_train)).split(31):
        optimizer.zero_grad()
        loss = criterion(model(x_train[rows]).squeeze(1), y_train[rows])
        loss.backward()
        optimizer.step()
    if epoch % 10 == 0:
        print(f"epoch {epoch}  loss {loss.item():.4f}")

with torch.no_grad():
    error = (model(x_test).squeeze(1) - y_test).abs().median().item()
print(f"metric={error:.5f}")
