"""Rainfall-like regression with a two-layer network."""

import os

import torch
from sklearn.datasets import make_friedman3
from torch import nn

SEED = int(os.environ.get("SEED", "0"))
torch.manual_seed(SEED)
torch.set_num_threads(1)

X, y = make_friedman3(1000, noise=0.05, random_state=SEED)
X = torch.tensor((X - X.mean(0)) / X.std(0), dtype=torch.float32)
y = torch.tensor((y - y.mean()) / y.std(), dtype=torch.float32).unsqueeze(1)
train_x, train_y, test_x, test_y = X[:750], y[:750], X[750:], y[750:]

model = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.999)
criterion = nn.MSELoss()
for epoch in range(30):
    for i in torch.randperm(750).split(50):
        optimizer.zero_grad()
        loss = criterion(model(train_x[i]), train_y[i])
        loss.backward()
        optimizer.step()

with torch.no_grad():
    test_loss = criterion(model(test_x), test_y).item()
print(f"test loss: {test_loss:.4f}")
