"""Classify the shape of noisy pulses with a one-dimensional CNN."""

import os

import numpy as np
import torch
from torch import nn

seed = int(os.environ.get("SEED", "0"))
torch.manual_seed(seed)
torch.set_num_threads(1)
rng = np.random.default_rng(seed)
LENGTH = 48


def pulses(n):
    """Signals (n, 1, LENGTH) of five shapes at random places."""
    kind = rng.integers(0, 5, n)
    place = rng.uniform(12, 36, n)[:, None]
    t = (np.arange(LENGTH)[None, :] - place) / 5.0
    shapes = [
        np.exp(-(t**2)),
        -t * np.exp(-(t**2)) * 2.3,
        (1 - 2 * t**2) * np.exp(-(t**2)),
        np.where((t > 0) & (t < 1.5), 1.0, 0.0) - np.where((t > -1.5) & (t < 0), 1.0, 0.0),
        np.where(np.abs(t) < 1.2, 1.0, 0.0),
    ]
    signal = np.stack(shapes)[kind, np.arange(n)] + 0.25 * rng.standard_normal((n, LENGTH))
    return torch.tensor(signal[:, None], dtype=torch.float32), torch.tensor(kind)


def initialize(module):
    if isinstance(module, nn.Conv1d | nn.Linear):
        nn.init.kaiming_normal_(module.weight)
        nn.init.zeros_(module.bias)


cnn = nn.Sequential(
    nn.Conv1d(1, 12, kernel_size=7, padding=3),
    nn.ReLU(),
    nn.MaxPool1d(2),
    nn.Conv1d(12, 16, kernel_size=5, padding=2),
    nn.ReLU(),
    nn.AdaptiveMaxPool1d(4),
    nn.Flatten(),
    nn.Linear(64, 5),
)
cnn.apply(initialize)

x, y = pulses(1600)
x_test, y_test = pulses(800)
optimizer = torch.optim.Adam(cnn.parameters(), lr=5e-3)
loss_function = nn.CrossEntropyLoss()
for epoch in range(16):
    permutation = torch.randperm(len(x))
    losses = []
    for start in range(0, len(x), 64):
        chosen = permutation[start : start + 64]
        loss = loss_function(cnn(x[chosen]), y[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print(f"epoch {epoch}: {np.mean(losses):.4f}")

cnn.eval()
with torch.no_grad():
    accuracy = (cnn(x_test).argmax(1) == y_test).float().mean().item()
print(f"metric={accuracy:.4f}")
