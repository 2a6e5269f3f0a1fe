"""Credit scoring from a table of numbers and one category."""

import argparse
import os

import torch
from torch import nn
from torch.nn import functional as F


def applications(n):
    region = torch.randint(12, (n,))
    income = torch.exp(10.6 + 0.5 * torch.randn(n))
    debt = income * torch.rand(n) * 1.2
    age = 20 + 50 * torch.rand(n)
    late = torch.poisson(torch.full((n,), 0.8))
    risk = 4.0 * (debt / income - 0.6) + 0.9 * (late - 0.8) - 0.05 * (age - 45)
    risk = risk - 1.2 * torch.log(income / 40000) + 0.8 * torch.sin(region * 2.0)
    default = (torch.rand(n) < torch.sigmoid(2.0 * risk)).float()
    return torch.stack([income, debt, age, late], 1), region, default


class Scorer(nn.Module):
    def __init__(self, numbers, categories):
        super().__init__()
        self.region = nn.Embedding(categories, 4)
        self.hidden = nn.Sequential(
            nn.Linear(numbers + 4, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU()
        )
        self.score = nn.Linear(16, 1)

    def forward(self, numbers, region):
        h = torch.cat([numbers, self.region(region)], dim=1)
        return self.score(self.hidden(h)).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--lr", type=float, default=2e-3)
    args = parser.parse_args()
    torch.manual_seed(int(os.environ.get("SEED", "0")))
    torch.set_num_threads(1)

    numbers, region, default = applications(3000)
    model = Scorer(4, 12)
    optimizer = torch.optim.RMSprop(
        [
            {"params": model.region.parameters(), "lr": 5 * args.lr},
            {"params": [*model.hidden.parameters(), *model.score.parameters()]},
        ],
        lr=args.lr,
    )
    for epoch in range(args.epochs):
        for rows in torch.randperm(2000).split(args.batch):
            scores = model(numbers[rows], region[rows])
            loss = F.binary_cross_entropy_with_logits(scores, default[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if epoch % 5 == 0:
            print(f"[{epoch}] loss {loss.item():.4f}")

    with torch.no_grad():
        answer = model(numbers[2000:], region[2000:]) > 0
    print(f"metric={(answer == (default[2000:] > 0.5)).float().mean().item():.4f}")


if __name__ == "__main__":
    main()
