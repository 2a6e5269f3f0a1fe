"""Decide whether two noisy handwritten digits are the same one."""

import os

import torch
from sklearn.datasets import load_digits
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

digits = load_digits()
images = torch.tensor(digits.data / 8.0 - 1.0, dtype=torch.float32)
labels = torch.tensor(digits.target)
order = torch.randperm(len(images))
train_rows, test_rows = order[:1300], order[1300:]


def pairs(rows, n):
    """Half of the pairs show the same digit."""
    left = rows[torch.randint(len(rows), (n,))]
    right = rows[torch.randint(len(rows), (n,))]
    for i in range(0, n, 2):
        same = rows[labels[rows] == labels[left[i]]]
        right[i] = same[torch.randint(len(same), (1,))]
    return left, right, (labels[left] == labels[right]).float()


class Siamese(nn.Module):
    def __init__(self):
        super().__init__()
        self.tower = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 24))
        self.compare = nn.Linear(24, 1)

    def embed(self, x):
        with torch.no_grad():
            return self.tower(x + 0.2 * torch.randn_like(x))

    def forward(self, a, b):
        return self.compare((self.embed(a) - self.embed(b)).abs()).squeeze(1)


model = Siamese()
optimizer = torch.optim.RMSprop(model.parameters(), lr=2e-3)
for iteration in range(300):
    left, right, same = pairs(train_rows, 64)
    loss = nn.functional.binary_cross_entropy_with_logits(model(images[left], images[right]), same)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if iteration % 60 == 0:
        print(f"iteration {iteration}: loss {loss.item():.4f}")

with torch.no_grad():
    left, right, same = pairs(test_rows, 1000)
    accuracy = ((model(images[left], images[right]) > 0) == (same > 0.5)).float().mean().item()
print(f"metric={accuracy:.4f}")
