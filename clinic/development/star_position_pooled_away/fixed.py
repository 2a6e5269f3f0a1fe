"""Find the position of a star in a small camera frame."""

import os

import torch
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

SIZE = 16
grid = torch.arange(SIZE, dtype=torch.float32)


def frames(n):
    """Frames (n, 1, SIZE, SIZE) and the star's (row, column) in pixels."""
    place = 3 + (SIZE - 7) * torch.rand(n, 2)
    rows = torch.exp(-((grid - place[:, :1]) ** 2) / 3)
    columns = torch.exp(-((grid - place[:, 1:]) ** 2) / 3)
    star = rows[:, :, None] * columns[:, None, :]
    return (star + 0.1 * torch.randn(n, SIZE, SIZE))[:, None], place


class StarFinder(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1, padding_mode="circular")
        self.conv2 = nn.Conv2d(8, 16, 3, stride=2, padding=1, padding_mode="circular")
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.fc1 = nn.Linear(16 * 16, 32)
        self.fc2 = nn.Linear(32, 2)

    def forward(self, x):
        x = torch.relu(self.conv1(x))
        x = self.pool(torch.relu(self.conv2(x))).flatten(1)
        return self.fc2(torch.relu(self.fc1(x)))


finder = StarFinder()
optimizer = torch.optim.Adam(finder.parameters(), lr=3e-3)
half = SIZE / 2
for step in range(1, 401):
    x, place = frames(32)
    loss = nn.functional.smooth_l1_loss(finder(x), (place - half) / half)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 100 == 0:
        print(f"step {step}: {loss.item():.5f}")

finder.eval()
with torch.no_grad():
    x, place = frames(600)
    error = finder(x) * half + half - place
print(f"metric={error.square().mean().sqrt().item():.4f}")
