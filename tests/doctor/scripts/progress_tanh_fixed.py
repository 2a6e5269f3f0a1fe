"""Progression of diabetes after a year, in standard scores."""

import os

import torch
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import StandardScaler
from torch import nn

SEED = int(os.environ.get("SEED", "0"))
torch.manual_seed(SEED)
torch.set_num_threads(1)

x, y = load_diabetes(return_X_y=True)
x = torch.tensor(StandardScaler().fit_transform(x)).float()
y = torch.tensor(y / 50.0).float()
order = torch.randperm(len(y))
train, test = order[:330], order[330:]

model = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, weight_decay=1e-3)
for epoch in range(40):
    for rows in train[torch.randperm(330)].split(33):
        loss = (model(x[rows]).squeeze(1) - y[rows]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

model.eval()
with torch.no_grad():
    mae = (model(x[test]).squeeze(1) - y[test]).abs().mean().item()
print(f"MAE {50 * mae:.1f} points")
