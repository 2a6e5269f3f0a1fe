"""Sparse codes of handwritten digits, with an average of the weights for evaluation."""

import copy
import os

import torch
from sklearn.datasets import load_digits
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

digits = torch.tensor(load_digits().data, dtype=torch.float32) / 16.0
digits = digits[torch.randperm(len(digits))]
train, test = digits[:1500], digits[1500:]
average = train.mean(0)


class SparseAutoencoder(nn.Module):
    def __init__(self, units=100, threshold=3.0):
        super().__init__()
        self.encode = nn.Linear(64, units)
        self.decode = nn.Linear(units, 64)
        self.threshold = threshold

    def code(self, x):
        return torch.relu(self.encode(x - average) - self.threshold)

    def forward(self, x):
        return self.decode(self.code(x))


def update_average(slow, fast, decay=0.98):
    with torch.no_grad():
        for s, f in zip(slow.parameters(), fast.parameters(), strict=True):
            s.lerp_(f, 1 - decay)


model = SparseAutoencoder()
slow = copy.deepcopy(model)
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
for epoch in range(20):
    for x in train[torch.randperm(len(train))].split(64):
        code = model.code(x)
        loss = (model.decode(code) - x).square().mean() + 1e-5 * code.sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        update_average(slow, model)
    if epoch % 4 == 0:
        print(f"epoch {epoch} loss {loss.item():.5f} active {(code > 0).float().mean():.2f}")

with torch.no_grad():
    print(f"metric={(slow(test) - test).square().mean().sqrt().item():.5f}")
