"""A tenth of the labels is wrong; the tests are not."""

import os

import torch
from sklearn.datasets import make_blobs
from torch import nn

SEED = int(os.environ.get("SEED", "0"))
torch.manual_seed(SEED)
torch.set_num_threads(1)

x, y = make_blobs(
    1500, n_features=6, centers=5, cluster_std=2.0, center_box=(-4, 4), random_state=SEED
)
x, y = torch.tensor((x - x.mean(0)) / x.std(0)).float(), torch.tensor(y)
noisy = torch.where(torch.rand(1500) < 0.1, torch.randint(0, 5, (1500,)), y)

model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 5))
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
for epoch in range(12):
    for rows in torch.randperm(1000).split(40):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[rows]), noisy[rows], label_smoothing=0.05).backward()
        optimizer.step()

with torch.no_grad():
    accuracy = (model(x[1000:]).argmax(1) == y[1000:]).float().mean()
print(f"accuracy on clean labels: {accuracy:.3f}")
