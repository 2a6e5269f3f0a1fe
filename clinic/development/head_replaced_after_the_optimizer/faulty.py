"""Pretrain on one question about wine-like mixtures, then fine-tune on another."""

import os

import torch
from sklearn.datasets import make_classification
from torch import nn
from torch.nn import functional as F

seed = int(os.environ.get("SEED", "0"))
torch.manual_seed(seed)
torch.set_num_threads(1)

X, fine = make_classification(
    2400,
    20,
    n_informative=10,
    n_classes=8,
    n_clusters_per_class=1,
    class_sep=2.0,
    random_state=seed,
)
X = torch.tensor(X, dtype=torch.float32)
X = (X - X.mean(0)) / X.std(0)
fine = torch.tensor(fine)
coarse = fine % 4
pretrain, tune, test = torch.arange(1200), torch.arange(1200, 1800), torch.arange(1800, 2400)


class Network(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU())
        self.head = nn.Linear(32, classes)

    def forward(self, x):
        return self.head(self.body(x))


def fit(model, optimizer, rows, labels, epochs):
    for _ in range(epochs):
        for batch in rows[torch.randperm(len(rows))].split(40):
            loss = F.cross_entropy(model(X[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    print(f"after {epochs} epochs: loss {loss.item():.4f}")


model = Network(4)
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
fit(model, optimizer, pretrain, coarse, epochs=15)
model.body.requires_grad_(False)

optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=1e-2)
model.head = nn.Linear(32, 8)
fit(model, optimizer, tune, fine, epochs=15)

model.eval()
with torch.no_grad():
    accuracy = (model(X[test]).argmax(1) == fine[test]).float().mean().item()
print(f"metric={accuracy:.4f}")
