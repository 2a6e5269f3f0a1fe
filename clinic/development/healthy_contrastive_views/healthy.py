"""Contrastive embedding of digits, judged by nearest neighbours."""

import os

import torch
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier
from torch import nn
from torch.nn import functional as F

SEED = int(os.environ.get("SEED", "0"))
torch.manual_seed(SEED)
torch.set_num_threads(1)

digits = load_digits()
images = torch.tensor(digits.images / 8 - 1, dtype=torch.float32)[:, None]
labels = digits.target
order = torch.randperm(len(images))
train, test = order[:1200], order[1200:]


def view(x):
    """Shift by at most one pixel, change the contrast, hide a pixel in ten, add noise."""
    dy, dx = torch.randint(-1, 2, (2,)).tolist()
    x = torch.roll(x, (dy, dx), dims=(2, 3)) * (0.8 + 0.4 * torch.rand(len(x), 1, 1, 1))
    x = torch.where(torch.rand_like(x) < 0.1, torch.zeros_like(x), x)
    return x + 0.1 * torch.randn_like(x)


class Embedding(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(256, 64),
        )
        self.project = nn.Sequential(nn.ReLU(), nn.Linear(64, 32))

    def forward(self, x):
        return F.normalize(self.project(self.backbone(x)), dim=1)


def nt_xent(a, b, temperature=0.2):
    z = torch.cat([a, b])
    similarity = z @ z.T / temperature
    similarity = similarity.masked_fill(torch.eye(len(z), dtype=torch.bool), -1e9)
    partner = torch.arange(len(z)).roll(len(a))
    return F.cross_entropy(similarity, partner)


model = Embedding()
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
for epoch in range(12):
    for rows in train[torch.randperm(len(train))].split(100):
        x = images[rows]
        loss = nt_xent(model(view(x)), model(view(x)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if epoch % 3 == 0:
        print(f"epoch {epoch}: {loss.item():.4f}")

with torch.no_grad():
    codes = F.normalize(model.backbone(images), dim=1).numpy()
neighbours = KNeighborsClassifier(5).fit(codes[train], labels[train])
print(f"metric={neighbours.score(codes[test], labels[test]):.4f}")
