"""Generate points on a ring of six clusters with an adversarial pair."""

import math
import os

import torch
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

MODES, NOISE, BATCH = 6, 8, 128
angles = torch.arange(MODES) * 2 * math.pi / MODES
centers = 1.5 * torch.stack([angles.cos(), angles.sin()], 1)


def real(count):
    return centers[torch.randint(MODES, (count,))] + 0.1 * torch.randn(count, 2)


generator = nn.Sequential(
    nn.Linear(NOISE, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2)
)
critic = nn.Sequential(
    nn.Linear(2, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1)
)
g_optimizer = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.9))
c_optimizer = torch.optim.Adam(critic.parameters(), lr=2e-3, betas=(0.5, 0.9))
softplus = nn.functional.softplus

for step in range(1200):
    true = real(BATCH).requires_grad_()
    fake = generator(torch.randn(BATCH, NOISE)).detach()
    score = critic(true)
    (slope,) = torch.autograd.grad(score.sum(), true, create_graph=True)
    c_loss = softplus(-score).mean() + softplus(critic(fake)).mean()
    c_optimizer.zero_grad()
    (c_loss + 0.1 * slope.square().sum(1).mean()).backward()
    c_optimizer.step()

    g_loss = softplus(-critic(generator(torch.randn(BATCH, NOISE)))).mean()
    g_optimizer.zero_grad()
    g_loss.backward()
    g_optimizer.step()
    if step % 200 == 0:
        print(f"{step:5d}  critic {c_loss.item():.3f}  generator {g_loss.item():.3f}")

with torch.no_grad():
    points = generator(torch.randn(3000, NOISE))
distance, mode = torch.cdist(points, centers).min(1)
share = torch.bincount(mode[distance < 0.4], minlength=MODES) / len(points)
print(f"metric={(share > 0.05).float().mean().item():.4f}")
