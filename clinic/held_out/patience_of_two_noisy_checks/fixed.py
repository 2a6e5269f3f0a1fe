"""Recognize spoken vowels from spectra, with early stopping."""

import os

import torch
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)
FORMANTS = torch.tensor(
    [[8.0, 22], [12, 30], [16, 24], [9, 34], [14, 40], [19, 31], [11, 26], [17, 37]]
)


def vowels(n):
    """Spectra (n, 1, 48) with two formants each, and the vowel (of eight)."""
    vowel = torch.randint(8, (n,))
    place = FORMANTS[vowel] * (1 + 0.05 * torch.randn(n, 1)) + 0.6 * torch.randn(n, 2)
    peaks = torch.exp(-((torch.arange(48) - place[:, :, None]) ** 2) / 8).sum(1)
    return (peaks + 0.25 * torch.randn(n, 48))[:, None], vowel


class EarlyStopping:
    def __init__(self, patience):
        self.patience, self.best, self.waited = patience, float("inf"), 0

    def __call__(self, loss):
        self.waited = 0 if loss < self.best else self.waited + 1
        self.best = min(self.best, loss)
        return self.waited >= self.patience


model = nn.Sequential(
    nn.Conv1d(1, 8, 5, padding=2),
    nn.ReLU(),
    nn.MaxPool1d(2),
    nn.Conv1d(8, 16, 5, padding=2),
    nn.ReLU(),
    nn.MaxPool1d(2),
    nn.Flatten(),
    nn.Linear(16 * 12, 8),
)
(x, y), (x_valid, y_valid), (x_test, y_test) = vowels(1000), vowels(200), vowels(800)
optimizer = torch.optim.Adam(model.parameters(), lr=5e-4)
stop = EarlyStopping(patience=60)
for step in range(1, 901):
    rows = torch.randint(len(x), (25,))
    loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 5 == 0:
        some = torch.randint(len(x_valid), (16,))
        with torch.no_grad():
            valid = nn.functional.cross_entropy(model(x_valid[some]), y_valid[some]).item()
        print(f"step {step}: train {loss.item():.3f} validation {valid:.3f}")
        if stop(valid):
            break

with torch.no_grad():
    print(f"metric={(model(x_test).argmax(1) == y_test).float().mean().item():.4f}")
