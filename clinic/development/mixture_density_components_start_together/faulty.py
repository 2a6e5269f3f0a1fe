"""Density of visitors in a shopping street: a mixture of Gaussians fitted by gradient."""

import os

import torch
from torch import nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

COMPONENTS = 5
shops = torch.tensor([[-4.0, 1.0], [-1.5, -2.0], [1.0, 2.0], [3.5, -1.0], [5.0, 3.0]])


def visitors(count):
    return shops[torch.randint(len(shops), (count,))] + 0.6 * torch.randn(count, 2)


class Density(nn.Module):
    def __init__(self, points):
        super().__init__()
        self.means = nn.Parameter(points.mean(0).repeat(COMPONENTS, 1))
        self.log_scales = nn.Parameter(points.std(0).log().repeat(COMPONENTS, 1))
        self.logits = nn.Parameter(torch.zeros(COMPONENTS))

    def forward(self, points):
        parts = Independent(Normal(self.means, self.log_scales.exp()), 1)
        mixture = MixtureSameFamily(Categorical(logits=self.logits), parts)
        return -mixture.log_prob(points)


points = visitors(1500)
density = Density(points)
optimizer = torch.optim.Adam(density.parameters(), lr=0.05)
for epoch in range(30):
    for batch in points[torch.randperm(len(points))].split(75):
        loss = density(batch).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch} loss {loss.item():.4f}")

with torch.no_grad():
    print(f"metric={density(visitors(1000)).mean().item():.5f}")
