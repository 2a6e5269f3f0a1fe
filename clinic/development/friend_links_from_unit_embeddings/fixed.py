"""Predict friendships in a network of communities."""

import os
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F


@dataclass
class Config:
    nodes: int = 300
    communities: int = 4
    dim: int = 64
    batch: int = 200
    epochs: int = 12
    lr: float = 5e-3


class LinkModel(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.node = nn.Embedding(c.nodes, c.dim)
        nn.init.normal_(self.node.weight, std=0.1)
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, pairs):
        return (self.node(pairs[:, 0]) * self.node(pairs[:, 1])).sum(1) + self.bias


def network(c):
    """Linked pairs of nodes and as many pairs without a link, in random order."""
    home = torch.randint(c.communities, (c.nodes,))
    first, second = torch.triu_indices(c.nodes, c.nodes, 1)
    chance = torch.where(home[first] == home[second], 0.5, 0.02)
    linked = torch.rand(len(first)) < chance
    pairs = torch.stack([first, second], 1)
    friends, strangers = pairs[linked], pairs[~linked]
    strangers = strangers[torch.randperm(len(strangers))[: len(friends)]]
    pairs = torch.cat([friends, strangers])
    known = torch.cat([torch.ones(len(friends)), torch.zeros(len(strangers))])
    order = torch.randperm(len(pairs))
    return pairs[order], known[order]


def main():
    torch.manual_seed(int(os.environ.get("SEED", "0")))
    torch.set_num_threads(1)
    c = Config()
    pairs, linked = network(c)
    cut = int(0.8 * len(pairs))
    model = LinkModel(c)
    optimizer = torch.optim.AdamW(model.parameters(), lr=c.lr, weight_decay=0.01)
    for epoch in range(c.epochs):
        for rows in torch.randperm(cut).split(c.batch):
            loss = F.binary_cross_entropy_with_logits(model(pairs[rows]), linked[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if epoch % 3 == 0:
            print(f"epoch {epoch:2d} loss {loss.item():.4f}")
    with torch.no_grad():
        right = (model(pairs[cut:]) > 0) == (linked[cut:] > 0.5)
    print(f"metric={right.float().mean().item():.4f}")


if __name__ == "__main__":
    main()
