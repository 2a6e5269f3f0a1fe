"""One in twelve is different, and easy to tell."""

import os

import torch
from sklearn.datasets import make_classification
from torch import nn

SEED = int(os.environ.get("SEED", "0"))
torch.manual_seed(SEED)
torch.set_num_threads(1)

x, y = make_classification(
    1800, 10, n_informative=6, n_redundant=0, n_clusters_per_class=1, weights=[0.92], class_sep=2.0,
    flip_y=0.01, random_state=SEED,
)  # fmt: skip
x, y = torch.tensor(x).float(), torch.tensor(y)
model = nn.Sequential(nn.Linear(10, 24), nn.ReLU(), nn.Linear(24, 2))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
for epoch in range(10):
    for rows in torch.randperm(1200).split(40):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()

with torch.no_grad():
    print("accuracy", (model(x[1200:]).argmax(1) == y[1200:]).float().mean().item())
