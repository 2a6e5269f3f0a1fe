"""Guess which of five brands a shopper names, when one answer in four is a slip."""

import os

import torch
from torch import nn

BRANDS, TRAITS, SLIPS = 5, 15, 0.25


def shoppers(count, taste):
    x = torch.randn(count, TRAITS)
    brand = (x @ taste).argmax(1)
    slip = torch.rand(count) < SLIPS
    return x, torch.where(slip, torch.randint(BRANDS, (count,)), brand)


def train(model, x, brand, epochs=10):
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.05)
    for epoch in range(epochs):
        for rows in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            loss = criterion(model(x[rows]), brand[rows])
            loss.backward()
            optimizer.step()
        schedule.step()
        print(f"epoch {epoch}: loss {loss.item():.4f}")


def main():
    torch.manual_seed(int(os.environ.get("SEED", "0")))
    torch.set_num_threads(1)
    taste = torch.randn(TRAITS, BRANDS)
    model = nn.Sequential(nn.Linear(TRAITS, 24), nn.ReLU(), nn.Linear(24, BRANDS))
    train(model, *shoppers(6000, taste))
    x, brand = shoppers(3000, taste)
    with torch.no_grad():
        print(f"metric={(model(x).argmax(1) == brand).float().mean().item():.4f}")


if __name__ == "__main__":
    main()
