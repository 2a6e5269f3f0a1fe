"""Mark the fluorescent spots in microscope images, pixel by pixel."""

import os

import torch
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)
SIZE = 24
axis = torch.arange(SIZE, dtype=torch.float32)


def images(n):
    """Noisy images (n, 1, SIZE, SIZE) with one spot each and the mask of the spot."""
    center = 3 + (SIZE - 6) * torch.rand(n, 2)
    dy = axis[None, :, None] - center[:, 0, None, None]
    dx = axis[None, None, :] - center[:, 1, None, None]
    squared = dx**2 + dy**2
    bright = (0.9 + 0.5 * torch.rand(n, 1, 1)) * torch.exp(-squared / 3.0)
    noisy = bright + 0.7 * torch.randn(n, SIZE, SIZE)
    return noisy[:, None], (squared < 3.0).float()[:, None]


net = nn.Sequential(
    nn.Conv2d(1, 8, 3, padding=1),
    nn.ReLU(),
    nn.Conv2d(8, 8, 3, padding=1),
    nn.ReLU(),
    nn.Conv2d(8, 1, 3, padding=1),
)
criterion = nn.BCEWithLogitsLoss()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

for step in range(200):
    x, mask = images(24)
    loss = criterion(net(x), mask)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 40 == 0:
        print(f"step {step:3d}: {loss.item():.4f}")

net.eval()
with torch.no_grad():
    x, mask = images(300)
    marked = net(x) > 0
    spot = mask > 0.5
    balanced = (marked[spot].float().mean() + (~marked)[~spot].float().mean()) / 2
print(f"metric={balanced.item():.4f}")
