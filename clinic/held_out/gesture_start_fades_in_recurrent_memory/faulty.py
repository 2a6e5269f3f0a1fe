"""Recognize a gesture by how it starts; the recording goes on long after."""

import os

import torch
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

GESTURES, CHANNELS, LENGTH = 6, 4, 60
templates = torch.randn(GESTURES, 6, CHANNELS)


def recordings(count):
    gesture = torch.randint(GESTURES, (count,))
    motion = 0.2 * torch.randn(count, LENGTH, CHANNELS)
    motion[:, :6] += templates[gesture]
    return motion, gesture


class Recognizer(nn.Module):
    def __init__(self, hidden=24):
        super().__init__()
        self.memory = nn.LSTM(CHANNELS, hidden, batch_first=True)
        self.classify = nn.Linear(hidden, GESTURES)

    def forward(self, motion):
        states, _ = self.memory(motion)
        return self.classify(states[:, -1])


motion, gesture = recordings(1000)
model = Recognizer()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
for epoch in range(16):
    total = 0.0
    for rows in torch.randperm(len(motion)).split(50):
        loss = nn.functional.cross_entropy(model(motion[rows]), gesture[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(rows)
    print(f"epoch {epoch:2d}  loss {total / len(motion):.4f}")

motion, gesture = recordings(600)
with torch.no_grad():
    print(f"metric={(model(motion).argmax(1) == gesture).float().mean().item():.4f}")
