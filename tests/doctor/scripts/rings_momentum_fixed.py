"""Tell the inner ring from the outer one."""

import os

import torch
from sklearn.datasets import make_circles
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

points, ring = make_circles(
    1200, noise=0.12, factor=0.5, random_state=int(os.environ.get("SEED", "0"))
)
points = torch.from_numpy(points).float()
ring = torch.from_numpy(ring).float()
train, val = slice(0, 900), slice(900, None)

net = nn.Sequential(nn.Linear(2, 48), nn.Tanh(), nn.Linear(48, 48), nn.Tanh(), nn.Linear(48, 1))
opt = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
for _ in range(20):
    for rows in torch.randperm(900).split(30):
        opt.zero_grad()
        logit = net(points[train][rows]).squeeze(-1)
        nn.functional.binary_cross_entropy_with_logits(logit, ring[train][rows]).backward()
        opt.step()

with torch.no_grad():
    guess = (net(points[val]).squeeze(-1) > 0).float()
    print("val acc:", round((guess == ring[val]).float().mean().item(), 3))
