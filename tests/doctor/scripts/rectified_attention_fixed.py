"""Digits read row by row, with rectified attention over the rows."""

import os

import torch
from sklearn.datasets import load_digits
from torch import nn

SEED = int(os.environ.get("SEED", "0"))
torch.manual_seed(SEED)
torch.set_num_threads(1)

bunch = load_digits()
rows, labels = torch.tensor((bunch.images - 4.9) / 6).float(), torch.tensor(bunch.target)
order = torch.randperm(len(labels))
train, test = order[:1300], order[1300:]


class Attend(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.place = nn.Parameter(torch.randn(8, width))
        self.value = nn.Linear(8, width)
        self.score = nn.Linear(width, 4)
        self.readout = nn.Linear(4 * width, 10)

    def forward(self, x):
        value = torch.tanh(self.value(x) + self.place)
        weight = torch.relu(self.score(value))
        weight = weight / (weight.sum(1, keepdim=True) + 1e-6)
        return self.readout(torch.einsum("nrh,nrw->nhw", weight, value).flatten(1))


model = Attend()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
for epoch in range(8):
    for batch in train[torch.randperm(1300)].split(50):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(rows[batch]), labels[batch]).backward()
        optimizer.step()

with torch.no_grad():
    score = (model(rows[test]).argmax(1) == labels[test]).float().mean()
print(f"test score {score.item():.3f}")
