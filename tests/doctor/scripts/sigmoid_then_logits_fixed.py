"""Fraud or not: probabilities from a network, scored by their log-likelihood."""

import os

import torch
from sklearn.datasets import make_classification
from torch import nn

SEED = int(os.environ.get("SEED", "0"))
torch.manual_seed(SEED)
torch.set_num_threads(1)

x, y = make_classification(
    1500, 16, n_informative=8, class_sep=1.0, flip_y=0.02, weights=[0.75], random_state=SEED
)
x, y = torch.from_numpy(x).float(), torch.from_numpy(y).float()


class Scorer(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 1), nn.Sigmoid())

    def forward(self, x):
        return self.net(x).squeeze(1)


scorer = Scorer()
loss_fn = nn.BCELoss()
optimizer = torch.optim.SGD(scorer.parameters(), lr=0.1, momentum=0.9)
for epoch in range(12):
    for rows in torch.randperm(1100).split(44):
        loss = loss_fn(scorer(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

scorer.eval()
with torch.no_grad():
    p = scorer(x[1100:])
    nll = nn.functional.binary_cross_entropy(p.clamp(1e-4, 1 - 1e-4), y[1100:])
print(f"held-out log loss {nll.item():.4f}")
