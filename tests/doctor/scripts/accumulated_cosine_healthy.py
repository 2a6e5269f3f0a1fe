"""Small batches added up, under a cosine schedule."""

import os

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

SEED = int(os.environ.get("SEED", "0"))
torch.manual_seed(SEED)
torch.set_num_threads(1)

x, y = load_digits(return_X_y=True)
x, y = torch.tensor((x - 4.9) / 6.0).float(), torch.tensor(y)
order = torch.randperm(len(y))
train, test = order[:1400], order[1400:]
loader = DataLoader(TensorDataset(x[train], y[train]), batch_size=25, shuffle=True)

EPOCHS, TOGETHER = 12, 2
model = nn.Sequential(nn.Linear(64, 96), nn.GELU(), nn.Linear(96, 10))
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.01)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * len(loader) // TOGETHER)
for epoch in range(EPOCHS):
    for i, (xb, yb) in enumerate(loader):
        loss = nn.functional.cross_entropy(model(xb), yb) / TOGETHER
        loss.backward()
        if (i + 1) % TOGETHER == 0:
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()

with torch.no_grad():
    acc = (model(x[test]).argmax(1) == y[test]).float().mean()
print(f"test acc {acc:.4f}")
