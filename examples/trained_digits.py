"""A small network that reads digits well, and keeps the parameters that did best."""

import copy

import torch
from sklearn.datasets import load_digits
from torch import nn

torch.manual_seed(0)
digits = load_digits()
images, labels = torch.tensor(digits.data).float() / 16, torch.tensor(digits.target)
train, valid, test = torch.randperm(len(labels)).split([1100, 300, 397])

model = nn.Sequential(nn.Linear(64, 20), nn.Tanh(), nn.Dropout(0.1), nn.Linear(20, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)


@torch.no_grad()
def accuracy(rows):
    model.eval()
    return (model(images[rows]).argmax(1) == labels[rows]).float().mean().item()


best = 0.0
for _ in range(20):
    model.train()
    for rows in train[torch.randperm(len(train))].split(50):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images[rows]), labels[rows])
        loss.backward()
        optimizer.step()
    if (now := accuracy(valid)) > best:
        best, kept = now, copy.deepcopy(model.state_dict())

model.load_state_dict(kept)
print(f"accuracy on the test set: {accuracy(test):.3f}")
