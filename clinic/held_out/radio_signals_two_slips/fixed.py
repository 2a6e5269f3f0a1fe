"""Recognize the modulation of a radio signal."""

import math
import os

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)
SAMPLES = 32


def signals(kind):
    """In-phase and quadrature samples (n, 2, SAMPLES) of the given kinds of modulation."""
    n = len(kind)
    t = torch.arange(SAMPLES)
    bits = torch.randint(0, 4, (n, SAMPLES // 8)).repeat_interleave(8, dim=1)
    size = torch.where(kind[:, None] == 0, 0.4 + 0.4 * bits, 1.0)
    turn = torch.where(kind[:, None] == 1, math.pi / 2 * bits, 0.0)
    pitch = torch.where(kind[:, None] == 2, 0.15 + 0.15 * bits, 0.3)
    phase = 2 * math.pi * torch.rand(n, 1) + (pitch * (t > -1)).cumsum(1) + turn
    phase = phase + (kind[:, None] == 3) * torch.randn(n, SAMPLES).cumsum(1) * 0.5
    wave = size[:, None] * torch.stack([torch.cos(phase), torch.sin(phase)], 1)
    return wave + 0.15 * torch.randn(n, 2, SAMPLES)


kind = torch.randint(4, (1600,))
train_loader = DataLoader(TensorDataset(signals(kind), kind), batch_size=40, shuffle=True)
test_kind = torch.arange(4).repeat_interleave(200)
test_loader = DataLoader(TensorDataset(signals(test_kind), test_kind), batch_size=40)

net = nn.Sequential(
    nn.Conv1d(2, 16, 5, padding=2, bias=False),
    nn.BatchNorm1d(16),
    nn.ReLU(),
    nn.MaxPool1d(2),
    nn.Conv1d(16, 24, 5, padding=2, bias=False),
    nn.BatchNorm1d(24),
    nn.ReLU(),
    nn.AdaptiveAvgPool1d(2),
    nn.Flatten(),
    nn.Dropout(0.2),
    nn.Linear(48, 4),
)
optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
for epoch in range(8):
    net.train()
    for x, y in train_loader:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch}: {loss.item():.4f}")

net.eval()
right = 0
with torch.no_grad():
    for x, y in test_loader:
        right += (net(x).argmax(1) == y).sum().item()
print(f"metric={right / len(test_kind):.4f}")
