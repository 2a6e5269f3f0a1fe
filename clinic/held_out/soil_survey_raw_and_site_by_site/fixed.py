"""Name the type of a soil from laboratory values."""

import os

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

TYPES = 7
COLUMNS = ("acidity", "sand", "clay", "organic carbon", "phosphorus", "conductivity", "depth")
USUAL = torch.tensor([6.5, 450.0, 250.0, 20.0, 30.0, 0.8, 1500.0])
SPREAD = torch.tensor([0.8, 150.0, 90.0, 9.0, 14.0, 0.4, 600.0])
profile = 0.9 * torch.randn(TYPES, 2, len(COLUMNS))


class Soils(Dataset):
    """The laboratory values of the samples and the type of each."""

    def __init__(self, per_type):
        self.kind = torch.arange(TYPES).repeat_interleave(per_type)
        variant = torch.randint(2, (len(self.kind),))
        deviation = profile[self.kind, variant] + 0.45 * torch.randn(len(self.kind), len(COLUMNS))
        self.values = deviation

    def __len__(self):
        return len(self.kind)

    def __getitem__(self, i):
        return self.values[i], self.kind[i]


class SoilNet(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.first = nn.Linear(len(COLUMNS), width)
        self.second = nn.Linear(width, width)
        self.last = nn.Linear(width, TYPES)

    def forward(self, x):
        x = torch.relu(self.first(x))
        return self.last(torch.relu(self.second(x)))


survey, test = Soils(400), Soils(80)
loader = DataLoader(survey, batch_size=35, shuffle=True)
model = SoilNet()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
for epoch in range(12):
    total = 0.0
    for values, kind in loader:
        loss = nn.functional.cross_entropy(model(values), kind)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    if epoch % 3 == 0:
        print(f"epoch {epoch:2d} mean loss {total / len(loader):.4f}")

with torch.no_grad():
    accuracy = (model(test.values).argmax(1) == test.kind).float().mean().item()
print(f"metric={accuracy:.4f}")
