"""The script that the pages call train.py: a small classifier at a learning rate far too high."""

import torch
from torch import nn

torch.manual_seed(0)
x = torch.randn(800, 20)
y = (x @ torch.randn(20, 5)).argmax(1)

model = nn.Sequential(nn.Linear(20, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 5))
optimizer = torch.optim.Adam(model.parameters(), lr=0.3)
for _ in range(10):
    for batch in torch.randperm(600).split(30):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        accuracy = (model(x[600:]).argmax(1) == y[600:]).float().mean().item()
print(f"accuracy {accuracy:.3f}")
