"""Two moons in mixed precision."""

import os

import torch
from sklearn.datasets import make_moons
from torch import nn

SEED = int(os.environ.get("SEED", "0"))
torch.manual_seed(SEED)
torch.set_num_threads(1)

x, y = make_moons(1500, noise=0.2, random_state=SEED)
x, y = torch.tensor((x - x.mean(0)) / x.std(0), dtype=torch.float32), torch.tensor(y)
net = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
opt = torch.optim.Adam(net.parameters(), lr=5e-3)
scaler = torch.amp.GradScaler("cpu", enabled=True)
for epoch in range(15):
    for rows in torch.randperm(1000).split(50):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = nn.functional.cross_entropy(net(x[rows]), y[rows])
        opt.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(opt)
        scaler.update()

with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
    print("accuracy:", (net(x[1000:]).argmax(1) == y[1000:]).float().mean().item())
