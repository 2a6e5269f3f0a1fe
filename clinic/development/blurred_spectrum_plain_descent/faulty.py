"""Undo the blur of a spectrometer: estimate the spectrum that explains its readings."""

import math
import os

import torch

generator = torch.Generator().manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)

BINS, READINGS = 120, 400
grid = torch.linspace(0, 1, BINS)


def true_spectrum():
    centers = 0.1 + 0.8 * torch.rand(6, generator=generator)
    heights = 0.5 + torch.rand(6, generator=generator)
    return (heights * torch.exp(-(((grid[:, None] - centers) / 0.02) ** 2))).sum(1)


def blur(positions, width=0.016):
    window = torch.exp(-(((positions[:, None] - grid) / width) ** 2) / 2)
    return window / window.sum(1, keepdim=True)


spectrum = true_spectrum()
positions = torch.rand(READINGS, generator=generator)
response = blur(positions)
readings = response @ spectrum + 1e-4 * torch.randn(READINGS, generator=generator)

estimate = torch.zeros(BINS, requires_grad=True)
optimizer = torch.optim.SGD([estimate], lr=25.0)
for step in range(1500):
    optimizer.zero_grad()
    loss = 0.5 * (response @ estimate - readings).square().mean()
    loss.backward()
    optimizer.step()
    if step % 250 == 0:
        print(f"{step:5d} {loss.item():.3e}")

sharp = blur(torch.rand(500, generator=generator), width=0.008)
with torch.no_grad():
    error = math.sqrt((sharp @ (estimate - spectrum)).square().mean().item())
print(f"metric={error:.6f}")
