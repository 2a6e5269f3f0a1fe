"""Recognize the state of a pump from three vibration channels."""

import math
import os

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

STATES, STEPS = 4, 24


def record(n):
    """Counts of a 12-bit converter, (n, STEPS, 3), and the state of the pump."""
    state = torch.randint(STATES, (n,))
    t = torch.arange(STEPS) + STEPS * torch.rand(n, 1)
    period = torch.tensor([4.0, 6.0, 9.0, 14.0])[state][:, None]
    phase = 2 * math.pi * t / period
    wave = torch.stack([phase.sin(), phase.cos(), (2 * phase).sin()], dim=2)
    wave = wave * (0.6 + 0.8 * torch.rand(n, 1, 1)) + 0.5 * torch.randn(n, STEPS, 3)
    counts = (2048 + 600 * wave).round().clamp(0, 4095)
    return (counts - 2048) / 600, state


class PumpNet(nn.Module):
    def __init__(self, hidden=24):
        super().__init__()
        self.lstm = nn.LSTM(3, hidden, batch_first=True)
        self.classify = nn.Linear(hidden, STATES)

    def forward(self, x):
        _, (h, _) = self.lstm(x)
        return self.classify(h[-1])


def train(model, loader, optimizer):
    model.train()
    total = 0.0
    for x, y in loader:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(x)
    return total / len(loader.dataset)


@torch.no_grad()
def evaluate(model, x, y):
    model.eval()
    return (model(x).argmax(1) == y).float().mean().item()


train_loader = DataLoader(TensorDataset(*record(1200)), batch_size=40, shuffle=True)
x_test, y_test = record(600)
model = PumpNet()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
for epoch in range(8):
    print(f"epoch {epoch} loss {train(model, train_loader, optimizer):.4f}")
print(f"metric={evaluate(model, x_test, y_test):.4f}")
