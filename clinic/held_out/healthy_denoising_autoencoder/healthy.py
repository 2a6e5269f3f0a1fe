"""Clean noisy pictures of geometric shapes."""

import os

import torch
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)
SIZE = 16
row, column = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")


def shapes(n):
    """Pictures (n, 1, SIZE, SIZE) of a bar, a square frame or a disc."""
    kind = torch.randint(3, (n, 1, 1))
    y, x = 5 + 6 * torch.rand(2, n, 1, 1)
    size = 2.5 + 2 * torch.rand(n, 1, 1)
    dy, dx = (row - y).abs(), (column - x).abs()
    far = torch.maximum(dy, dx)
    bar = (dy < 1.5) & (dx < size + 2)
    frame = (far < size + 0.5) & (far > size - 1)
    disc = dy**2 + dx**2 < size**2
    picture = torch.where(kind == 0, bar, torch.where(kind == 1, frame, disc))
    return picture.float()[:, None]


def spoil(picture):
    return picture + 0.5 * torch.randn_like(picture)


class Denoiser(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 12, 3, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(12, 24, 4, stride=2, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(24, 24, 4, stride=2, padding=1),
            nn.LeakyReLU(0.1),
        )
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(24, 24, 4, stride=2, padding=1),
            nn.LeakyReLU(0.1),
            nn.ConvTranspose2d(24, 12, 4, stride=2, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(12, 1, 3, padding=1),
        )

    def forward(self, x):
        return self.decoder(self.encoder(x))


denoiser = Denoiser()
STEPS = 400
optimizer = torch.optim.Adam(denoiser.parameters(), lr=5e-3)
cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
for step in range(STEPS):
    clean = shapes(16)
    loss = nn.functional.mse_loss(denoiser(spoil(clean)), clean)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    cosine.step()
    if step % 80 == 0:
        print(f"step {step}: {loss.item():.4f}")

denoiser.eval()
with torch.no_grad():
    clean = shapes(400)
    rmse = (denoiser(spoil(clean)) - clean).square().mean().sqrt().item()
print(f"metric={rmse:.5f}")
