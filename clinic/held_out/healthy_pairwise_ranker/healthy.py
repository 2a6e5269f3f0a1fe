"""Rank the results of a search engine by pairs of clicks."""

import os

import torch
from torch import nn
from torch.nn import functional as F


def queries(n, results=8):
    """Features of the results of each query (n, results, 6) and how often each was clicked."""
    x = torch.randn(n, results, 6)
    relevance = x[..., 0] + torch.relu(x[..., 1]) - 0.5 * x[..., 2] * x[..., 3]
    clicks = torch.poisson(torch.exp(relevance.clamp(max=3)))
    return x, relevance, clicks


def ranker(width=48):
    return nn.Sequential(
        nn.Linear(6, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, 1),
        nn.Flatten(1),
    )


def pairwise_loss(score, clicks):
    above = clicks[:, :, None] > clicks[:, None, :]
    margin = score[:, :, None] - score[:, None, :]
    return F.softplus(-margin[above]).mean()


def train_one_epoch(model, optimizer, x, clicks):
    model.train()
    total = 0.0
    for rows in torch.randperm(len(x)).split(20):
        optimizer.zero_grad()
        loss = pairwise_loss(model(x[rows]), clicks[rows])
        loss.backward()
        optimizer.step()
        total += loss.item() * len(rows)
    return total / len(x)


@torch.no_grad()
def validate(model, x, relevance):
    model.eval()
    score = model(x)
    above = relevance[:, :, None] > relevance[:, None, :]
    ordered = score[:, :, None] > score[:, None, :]
    return ordered[above].float().mean().item()


if __name__ == "__main__":
    torch.manual_seed(int(os.environ.get("SEED", "0")))
    torch.set_num_threads(1)
    x, _, clicks = queries(800)
    x_test, relevance, _ = queries(300)
    model = ranker()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=2e-3)
    for epoch in range(8):
        print(f"epoch {epoch} loss {train_one_epoch(model, optimizer, x, clicks):.4f}")
    print(f"metric={validate(model, x_test, relevance):.4f}")
