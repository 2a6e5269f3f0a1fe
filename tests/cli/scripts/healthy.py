"""Tell two noisy rings apart; trains as well as the noise allows."""

import torch
from torch import nn

torch.manual_seed(0)
angle = 6.2832 * torch.rand(1200)
label = torch.arange(1200) % 2
radius = 1.0 + label + 0.25 * torch.randn(1200)
points = torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], 1)
train_x, train_y, test_x, test_y = points[:800], label[:800], points[800:], label[800:]

model = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for _ in range(20):
    for batch in torch.randperm(800).split(32):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(train_x[batch]), train_y[batch])
        loss.backward()
        optimizer.step()
with torch.no_grad():
    accuracy = (model(test_x).argmax(1) == test_y).float().mean().item()
print(f"accuracy {accuracy:.3f}")
