"""Classify short heartbeat traces by their shape with a one-dimensional CNN."""

import os

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

SEED = int(os.environ.get("SEED", "0"))
LENGTH, KINDS = 64, 5


def beats(count, rng):
    """Traces (count, 1, LENGTH) of five kinds at random places, and their kinds."""
    kind = rng.integers(KINDS, size=count)
    middle = rng.uniform(20, 44, size=(count, 1))
    t = np.arange(LENGTH)[None] - middle
    width = np.array([2.0, 3.5, 2.0, 3.5, 2.5])[kind][:, None]
    dip = np.array([0.0, 0.0, 0.6, 0.6, -0.6])[kind][:, None]
    trace = np.exp(-((t / width) ** 2)) - dip * np.exp(-(((t - 7) / 3) ** 2))
    trace = trace + 0.2 * rng.standard_normal((count, LENGTH))
    return torch.tensor(trace[:, None], dtype=torch.float32), torch.tensor(kind)


def build():
    return nn.Sequential(
        nn.Conv1d(1, 12, 7, padding=3),
        nn.ReLU(),
        nn.MaxPool1d(2),
        nn.Conv1d(12, 16, 5, padding=2),
        nn.ReLU(),
        nn.AdaptiveMaxPool1d(4),
        nn.Flatten(),
        nn.Linear(64, KINDS),
    )


def fit(model, loader, epochs):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    for epoch in range(epochs):
        for trace, kind in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(trace), kind)
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: {loss.item():.4f}")


def accuracy(model, trace, kind):
    with torch.no_grad():
        return (model(trace).argmax(1) == kind).float().mean().item()


def main():
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    rng = np.random.default_rng(SEED)
    model = build()
    fit(model, DataLoader(TensorDataset(*beats(2000, rng)), batch_size=32, shuffle=True), epochs=6)
    print(f"metric={accuracy(model, *beats(1000, rng)):.4f}")


if __name__ == "__main__":
    main()
