"""Estimate the rent of flats."""

import os

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

seed = int(os.environ.get("SEED", "0"))
torch.manual_seed(seed)
torch.set_num_threads(1)


class Flats(Dataset):
    """A table of flats with their rents."""

    def __init__(self, n, seed):
        rng = np.random.default_rng(seed)
        area, floor, age, distance, rooms = rng.standard_normal((5, n))
        rent = area + 0.4 * rooms * (area > 0) - 0.5 * np.abs(distance) + 0.3 * np.sin(2 * age)
        rent += 0.2 * floor * distance + 0.2 * rng.standard_normal(n)
        listing = np.argsort(rent)
        table = np.stack([area, floor, age, distance, rooms], 1)[listing]
        self.features = torch.tensor(table, dtype=torch.float32)
        self.rent = torch.tensor(rent[listing], dtype=torch.float32)

    def __len__(self):
        return len(self.rent)

    def __getitem__(self, index):
        return self.features[index], self.rent[index]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(5, 48)
        self.fc2 = nn.Linear(48, 48)
        self.fc3 = nn.Linear(48, 1)

    def forward(self, x):
        x = torch.relu(self.fc1(x))
        x = torch.relu(self.fc2(x))
        return self.fc3(x)[:, 0]


train_data, test_data = Flats(1800, seed), Flats(700, seed + 500)
train_loader = DataLoader(train_data, batch_size=36, shuffle=True)
test_loader = DataLoader(test_data, batch_size=100)

net = Net()
optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
for epoch in range(12):
    net.train()
    for features, rent in train_loader:
        optimizer.zero_grad()
        loss = ((net(features) - rent) ** 2).mean()
        loss.backward()
        optimizer.step()
    if epoch % 3 == 0:
        print("epoch", epoch, "loss", round(loss.item(), 4))

net.eval()
squares = 0.0
with torch.no_grad():
    for features, rent in test_loader:
        squares += ((net(features) - rent) ** 2).sum().item()
print(f"metric={(squares / len(test_data)) ** 0.5:.4f}")
