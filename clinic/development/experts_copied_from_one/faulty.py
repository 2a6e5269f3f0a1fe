"""A mixture of linear experts for a function that changes its law from region to region."""

import copy
import os

import torch
import torch.nn.functional as F
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)
REGIONS = 6
centers = 2.0 * torch.randn(REGIONS, 3)
slopes = torch.randn(REGIONS, 3)
levels = 2.0 * torch.randn(REGIONS)


def law(x):
    region = torch.cdist(x, centers).argmin(1)
    return (x * slopes[region]).sum(1) + levels[region]


def draw(n):
    x = 2.0 * torch.randn(n, 3)
    return x, law(x)


class MixtureOfExperts(nn.Module):
    def __init__(self, experts=8):
        super().__init__()
        self.router = nn.Linear(3, experts)
        nn.init.zeros_(self.router.weight)
        nn.init.zeros_(self.router.bias)
        expert = nn.Linear(3, 1)
        self.experts = nn.ModuleList(copy.deepcopy(expert) for _ in range(experts))

    def forward(self, x):
        share = F.softmax(self.router(x), dim=1)
        answers = torch.cat([expert(x) for expert in self.experts], dim=1)
        return (share * answers).sum(1)


model = MixtureOfExperts()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
for iteration in range(900):
    x, y = draw(64)
    loss = F.mse_loss(model(x), y + 0.1 * torch.randn(64))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    if iteration % 150 == 0:
        print(f"{iteration:5d} {loss.item():.4f}")

with torch.inference_mode():
    x, y = draw(3000)
    rmse = F.mse_loss(model(x), y).sqrt().item()
print(f"metric={rmse:.5f}")
