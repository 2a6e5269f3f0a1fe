"""Sixteen noisy clusters in six classes."""

import os

import torch
import torch.nn.functional as F
from sklearn.datasets import make_classification
from torch import nn

seed = int(os.environ.get("SEED", "0"))
torch.manual_seed(seed)
torch.set_num_threads(1)

X, y = make_classification(
    1500, 20, n_informative=10, n_redundant=2, n_classes=6, n_clusters_per_class=2, class_sep=1.6,
    random_state=seed,
)  # fmt: skip
X = torch.tensor((X - X.mean(0)) / X.std(0), dtype=torch.float32)
y = torch.tensor(y)
Xtr, ytr, Xte, yte = X[:1200], y[:1200], X[1200:], y[1200:]

model = nn.Sequential(nn.Linear(20, 80), nn.ReLU(), nn.Linear(80, 6))
optim = torch.optim.Adagrad(model.parameters(), lr=3e-4)


def accuracy(x, t):
    with torch.no_grad():
        return (model(x).argmax(dim=1) == t).sum().item() / len(t)


for epoch in range(15):
    for i in range(0, 1200, 40):
        if i == 0:
            order = torch.randperm(1200)
        pick = order[i : i + 40]
        optim.zero_grad()
        F.cross_entropy(model(Xtr[pick]), ytr[pick]).backward()
        optim.step()
    if epoch % 5 == 4:
        print("epoch", epoch + 1, "test accuracy", accuracy(Xte, yte))
print("final test accuracy", accuracy(Xte, yte))
