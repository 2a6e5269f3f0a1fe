"""Crop yield from soil readings: a model with pairs and triples of interacting readings."""

import os

import torch
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

READINGS = 6
directions = nn.functional.normalize(torch.randn(3, READINGS), dim=1)


def true_yield(x):
    first, second, third = (x @ directions.T).unbind(1)
    return first + 0.5 * first * second + 0.3 * first * second * third


def survey(fields, extreme):
    x = torch.randn(fields, READINGS)
    x[torch.rand(fields) < extreme] *= 7.0
    return x, true_yield(x) + 0.1 * torch.randn(fields)


class Interactions(nn.Module):
    def __init__(self, rank=3):
        super().__init__()
        self.alone = nn.Linear(READINGS, 1)
        self.pairs = nn.ModuleList(nn.Linear(READINGS, rank) for _ in range(2))
        self.triples = nn.ModuleList(nn.Linear(READINGS, rank) for _ in range(3))

    def forward(self, x):
        result = self.alone(x).squeeze(1)
        for factors in (self.pairs, self.triples):
            product = 1.0
            for factor in factors:
                product = product * factor(x)
            result = result + product.sum(1)
        return result


x, harvest = survey(3000, extreme=0.003)
model = Interactions()
optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
for epoch in range(12):
    for rows in torch.randperm(len(x)).split(30):
        loss = nn.functional.mse_loss(model(x[rows]), harvest[rows])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    print(f"epoch {epoch:2d}  loss {loss.item():.5f}")

x, _ = survey(1000, extreme=0.0)
with torch.no_grad():
    print(f"metric={(model(x) - true_yield(x)).square().mean().sqrt().item():.5f}")
