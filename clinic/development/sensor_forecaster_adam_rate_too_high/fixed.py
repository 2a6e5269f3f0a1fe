"""Forecast the next reading of a vibration sensor from the last thirty."""

import os

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

SEED = int(os.environ.get("SEED", "0"))
torch.manual_seed(SEED)
torch.set_num_threads(1)
WINDOW = 30


class Readings(Dataset):
    """Windows of one recording, each with the reading that follows it."""

    def __init__(self, recording):
        self.recording = torch.tensor(recording, dtype=torch.float32)

    def __len__(self):
        return len(self.recording) - WINDOW

    def __getitem__(self, start):
        stop = start + WINDOW
        return self.recording[start:stop, None], self.recording[stop]


class Forecaster(nn.Module):
    def __init__(self, hidden=24):
        super().__init__()
        self.lstm = nn.LSTM(1, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, window):
        _, (hidden, _) = self.lstm(window)
        return self.head(hidden[-1]).squeeze(-1)


def record(count, rng):
    t = np.arange(count) + rng.uniform(0, 100)
    wave = np.sin(0.23 * t) + 0.6 * np.sin(0.61 * t + 1.0)
    return wave + 0.1 * rng.standard_normal(count)


def train(model, loader, optimizer, epochs):
    for epoch in range(epochs):
        total = 0.0
        for window, target in loader:
            loss = nn.functional.mse_loss(model(window), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        print(f"epoch {epoch}: loss {total / len(loader):.4f}")


def evaluate(model, loader):
    model.eval()
    with torch.no_grad():
        squares = [(model(window) - target).square() for window, target in loader]
    return torch.cat(squares).mean().sqrt().item()


if __name__ == "__main__":
    rng = np.random.default_rng(SEED)
    training = DataLoader(Readings(record(1200, rng)), batch_size=32, shuffle=True)
    testing = DataLoader(Readings(record(500, rng)), batch_size=128)
    forecaster = Forecaster()
    train(forecaster, training, torch.optim.Adam(forecaster.parameters(), lr=0.005), epochs=6)
    print(f"metric={evaluate(forecaster, testing):.5f}")
