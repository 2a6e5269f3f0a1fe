"""What is a person doing? Activity from windows of a wrist sensor."""

import os

import numpy as np
import torch
from torch import nn

seed = int(os.environ.get("SEED", "0"))
rng = np.random.default_rng(seed)
torch.manual_seed(seed)
torch.set_num_threads(1)

WINDOW = 20


def windows(n):
    """Readings in steps of 0.05 g, (n, WINDOW, 1), of five activities (0 is rest)."""
    activity = rng.integers(0, 5, n)
    t = np.arange(WINDOW)[None, :] + rng.uniform(0, 20, (n, 1))
    period = np.array([1.0, 16.0, 9.0, 6.0, 4.0])[activity][:, None]
    size = np.where(activity == 0, 0.008, rng.uniform(0.4, 1.5, n))[:, None]
    wave = size * np.sin(2 * np.pi * t / period) + 0.3 * size * rng.standard_normal((n, WINDOW))
    reading = 0.05 * np.round((wave + rng.standard_normal((n, 1))) / 0.05)
    return torch.tensor(reading[:, :, None], dtype=torch.float32), torch.tensor(activity)


class ActivityNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(2, 24, batch_first=True)
        self.classes = nn.Linear(24, 5)

    def forward(self, x):
        level = x.mean(1, keepdim=True)
        spread = x.std(1, keepdim=True)
        shape = (x - level) / spread
        _, h = self.gru(torch.cat([shape, spread.expand_as(x)], 2))
        return self.classes(h[0])


x, y = windows(1500)
x_test, y_test = windows(700)
net = ActivityNet()
optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
curve = []
for epoch in range(14):
    order = torch.as_tensor(rng.permutation(len(x)))
    for rows in order.split(50):
        loss = nn.functional.cross_entropy(net(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        curve.append(loss.item())
    print(f"epoch {epoch}: {np.mean(curve[-30:]):.4f}")

with torch.no_grad():
    accuracy = (net(x_test).argmax(1) == y_test).float().mean().item()
print(f"metric={accuracy:.4f}")
