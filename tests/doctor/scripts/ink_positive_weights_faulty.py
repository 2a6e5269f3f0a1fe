"""Even or odd? A perceptron on the ink of digits."""

import os

import torch
from sklearn.datasets import load_digits
from torch import nn

SEED = int(os.environ.get("SEED", "0"))
torch.manual_seed(SEED)
torch.set_num_threads(1)

digits = load_digits()
ink = torch.tensor(digits.data / 16.0, dtype=torch.float32)
even = torch.tensor(digits.target % 2 == 0).float()
mix = torch.randperm(len(ink), generator=torch.Generator().manual_seed(SEED))
train, test = mix[:1300], mix[1300:]

hidden = nn.Linear(64, 64)
nn.init.uniform_(hidden.weight, -0.3, 0.0)
model = nn.Sequential(hidden, nn.ReLU(), nn.Linear(64, 1), nn.Flatten(0))
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
criterion = nn.BCEWithLogitsLoss()

for epoch in range(12):
    for rows in train[torch.randperm(len(train))].split(65):
        optimizer.zero_grad()
        criterion(model(ink[rows]), even[rows]).backward()
        optimizer.step()

with torch.no_grad():
    chance = model(ink[test]).sigmoid()
    accuracy = ((chance > 0.5) == even[test].bool()).float().mean()
print(f"accuracy on {len(test)} new digits: {accuracy:.3f}")
