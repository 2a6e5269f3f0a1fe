"""Solve the equation of a damped oscillator with a network."""

import math
import os

import torch
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)

DAMPING, FREQUENCY, END = 0.3, 2.0, 4.0


def exact(t):
    w = math.sqrt(FREQUENCY**2 - DAMPING**2)
    return torch.exp(-DAMPING * t) * (torch.cos(w * t) + DAMPING / w * torch.sin(w * t))


class Solution(nn.Module):
    """x(t) with x(0) = 1 and x'(0) = 0 built in."""

    def __init__(self, width=32):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(1, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )

    def forward(self, t):
        s = t / END
        return 1 + s**2 * 5 * self.net(2 * s - 1)


def derivative(x, t):
    return torch.autograd.grad(x.sum(), t, create_graph=True)[0]


def residual(model, t):
    t = t.requires_grad_()
    x = model(t)
    velocity = derivative(x, t)
    return derivative(velocity, t) + 2 * DAMPING * velocity + FREQUENCY**2 * x


model = Solution()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
STEPS = 150
for step in range(STEPS):
    loss = residual(model, END * torch.rand(64, 1)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 50 == 0:
        print(f"step {step}: residual {loss.item():.5f}")

with torch.no_grad():
    t = torch.linspace(0, END, 200)[:, None]
    error = (model(t) - exact(t)).square().mean().sqrt().item()
print(f"metric={error:.6f}")
