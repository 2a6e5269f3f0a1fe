"""Digits by a small network; the best parameters go to a file and come back before the test."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

torch.manual_seed(0)
digits = load_digits()
x = torch.tensor(digits.data, dtype=torch.float32) / 16
y = torch.tensor(digits.target)
train, valid, test = torch.randperm(len(x)).split([1000, 300, 497])
model = nn.Sequential(nn.Linear(64, 12), nn.Tanh(), nn.Linear(12, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)


@torch.no_grad()
def accuracy(rows):
    return (model(x[rows]).argmax(1) == y[rows]).float().mean().item()


best = 0.0
for _ in range(6):
    for rows in train[torch.randperm(len(train))].split(50):
        optimizer.zero_grad()
        cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
    if accuracy(valid) > best:
        best = accuracy(valid)
        torch.save(model.state_dict(), "best.pt")
model.load_state_dict(torch.load("best.pt"))
print(accuracy(test))
