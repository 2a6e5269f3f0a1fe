"""Digits with a dropped-out network."""

import os

import torch
from sklearn.datasets import load_digits
from torch import nn

SEED = int(os.environ.get("SEED", "0"))
torch.manual_seed(SEED)
torch.set_num_threads(1)

x, y = load_digits(return_X_y=True)
x, y = torch.tensor(x / 16 - 0.5).float(), torch.tensor(y)
order = torch.randperm(len(y))
train, test = order[:1300], order[1300:]

model = nn.Sequential(
    nn.Linear(64, 48),
    nn.ReLU(),
    nn.Dropout(0.6),
    nn.Linear(48, 48),
    nn.ReLU(),
    nn.Dropout(0.6),
    nn.Linear(48, 10),
)
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
for epoch in range(15):
    for rows in train[torch.randperm(1300)].split(65):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()

model.eval()
with torch.no_grad():
    hit = model(x[test]).argmax(1).eq(y[test]).float().mean()
print(f"Test accuracy: {hit.item():.2%}")
