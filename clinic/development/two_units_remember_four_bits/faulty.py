"""Repeat the bit that was heard four steps ago."""

import os

import torch
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)
DELAY = 4


def stream(n, length=20):
    bits = torch.randint(2, (n, length)).float()
    return 2 * bits[:, :, None] - 1, bits[:, :-DELAY]


class Echo(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.memory = nn.GRU(1, hidden, batch_first=True)
        self.readout = nn.Linear(hidden, 1)

    def forward(self, x):
        states, _ = self.memory(x)
        return self.readout(states)[:, DELAY:, 0]


model = Echo(hidden=2)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
bce = nn.BCEWithLogitsLoss()
running = 0.7
for iteration in range(500):
    x, target = stream(32)
    loss = bce(model(x), target)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    running = 0.95 * running + 0.05 * loss.item()
    if iteration % 100 == 0:
        print(f"iteration {iteration}: {running:.4f}")

with torch.no_grad():
    x, target = stream(500)
    accuracy = ((model(x) > 0) == (target > 0.5)).float().mean().item()
print(f"metric={accuracy:.4f}")
