"""Which machines will fail this week? Three in a hundred do."""

import argparse
import os

import numpy as np
import torch
from torch import nn

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--lr", type=float, default=0.02)
parser.add_argument("--micro-batch", type=int, default=32)
parser.add_argument("--accumulate", type=int, default=4)
options = parser.parse_args()

seed = int(os.environ.get("SEED", "0"))
rng = np.random.default_rng(seed)
torch.manual_seed(seed)
torch.set_num_threads(1)


def machines(count):
    failing = rng.random(count) < 0.03
    x = rng.standard_normal((count, 12))
    x[failing, :4] += 1.1
    x[failing, 4] *= 2.0
    return torch.tensor(x, dtype=torch.float32), torch.tensor(failing, dtype=torch.float32)


x, failing = machines(8000)
model = nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 1), nn.Flatten(0))
weight = (1 - failing.mean()) / failing.mean()
criterion = nn.BCEWithLogitsLoss(pos_weight=weight)
optimizer = torch.optim.SGD(model.parameters(), lr=options.lr, momentum=0.9)
for epoch in range(options.epochs):
    for count, rows in enumerate(torch.randperm(len(x)).split(options.micro_batch), 1):
        loss = criterion(model(x[rows]), failing[rows])
        (loss / options.accumulate).backward()
        if count % options.accumulate == 0:
            optimizer.step()
            optimizer.zero_grad()
    print(f"epoch {epoch} loss {loss.item():.4f}")

x, failing = machines(8000)
with torch.no_grad():
    alarm = model(x) > 0
found = alarm[failing > 0].float().mean()
quiet = (~alarm[failing == 0]).float().mean()
print(f"metric={((found + quiet) / 2).item():.4f}")
