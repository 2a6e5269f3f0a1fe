"""Concrete strength from its mix, with a deep residual network."""

import math
import os

import torch
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

DEPTH, WIDTH, EPOCHS = 12, 32, 15
axis_a, axis_b = nn.functional.normalize(torch.randn(2, 6), dim=1)


def mixes(count):
    x = torch.randn(count, 6)
    strength = torch.sin(2 * (x @ axis_a)) + 0.5 * (x @ axis_b) + 0.3 * x[:, 0] * x[:, 1]
    return x, strength + 0.3 * torch.randn(count)


class Branch(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.up, self.down = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        nn.init.zeros_(self.down.weight)
        nn.init.zeros_(self.down.bias)

    def forward(self, h):
        return h + self.down(nn.functional.gelu(self.up(self.norm(h))))


head = nn.Linear(WIDTH, 1)
nn.init.zeros_(head.weight)
model = nn.Sequential(nn.Linear(6, WIDTH), *(Branch() for _ in range(DEPTH)), head, nn.Flatten(0))
x, strength = mixes(2500)
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
steps = EPOCHS * math.ceil(len(x) / 64)
schedule = torch.optim.lr_scheduler.LambdaLR(
    optimizer, lambda step: min(1.0, (step + 1) / 50) * (1 - step / steps)
)
for epoch in range(EPOCHS):
    for rows in torch.randperm(len(x)).split(64):
        loss = nn.functional.mse_loss(model(x[rows]), strength[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    print(f"epoch {epoch:2d}  loss {loss.item():.4f}")

x, strength = mixes(1500)
with torch.no_grad():
    print(f"metric={nn.functional.mse_loss(model(x), strength).sqrt().item():.5f}")
