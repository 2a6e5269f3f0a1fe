"""Does a bag of measurements contain an anomaly? Attention pooling over sets."""

import os

import torch
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

settings = {"lr": 3e-3, "betas": (0.9, 0.99)}


def bags(n, size=12):
    """Sets (n, size, 4); in every second one, one member lies off the common plane."""
    x = torch.randn(n, size, 4)
    x[..., 3] = x[..., 0] - x[..., 1] + 0.1 * torch.randn(n, size)
    odd = torch.rand(n) < 0.5
    x[odd, 0, 3] += 2.5 * torch.sign(torch.randn(int(odd.sum())))
    return x, odd.float()


class AttentionPool(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.member = nn.Sequential(
            nn.Linear(4, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.attention = nn.Linear(width, 1)
        self.decide = nn.Linear(width, 1)

    def forward(self, x):
        h = self.member(x)
        weight = torch.softmax(self.attention(h), dim=1)
        return self.decide((weight * h).sum(1)).squeeze(1)


x, odd = bags(2400)
x_test, odd_test = bags(800)
model = AttentionPool()
optimizer = torch.optim.Adam(model.parameters(), **settings)
objective = nn.BCEWithLogitsLoss()
for epoch in range(12):
    for rows in torch.randperm(len(x)).split(60):
        value = objective(model(x[rows]), odd[rows])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    print(f"epoch {epoch + 1:2d}  {value.item():.4g}")

with torch.no_grad():
    accuracy = ((model(x_test) > 0) == (odd_test > 0.5)).float().mean().item()
print(f"metric={accuracy:.4f}")
