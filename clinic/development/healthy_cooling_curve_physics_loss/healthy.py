"""Temperature of a swinging, cooling plate from its equation of motion alone."""

import os

import torch
from torch import nn

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)

FREQUENCY, DAMPING = 3.0, 0.3


def exact(t):
    ringing = (FREQUENCY**2 - DAMPING**2) ** 0.5
    return torch.exp(-DAMPING * t) * (
        torch.cos(ringing * t) + DAMPING / ringing * torch.sin(ringing * t)
    )


network = nn.Sequential(nn.Linear(1, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 1))


def motion(t):
    """The solution, with position 1 and speed 0 at the start built in."""
    return 1.0 + t**2 * network(t)


def derivative(y, t):
    return torch.autograd.grad(y.sum(), t, create_graph=True)[0]


t = torch.linspace(0, 2, 60)[:, None].requires_grad_()
optimizer = torch.optim.LBFGS(network.parameters(), line_search_fn="strong_wolfe")


def closure():
    optimizer.zero_grad()
    y = motion(t)
    speed = derivative(y, t)
    force = derivative(speed, t) + 2 * DAMPING * speed + FREQUENCY**2 * y
    loss = force.square().mean()
    loss.backward()
    return loss


for round_ in range(20):
    loss = optimizer.step(closure)
    if round_ % 5 == 0:
        print(f"round {round_} residual {loss.item():.3e}")

between = torch.rand(300, 1) * 2
with torch.no_grad():
    close = (motion(between) - exact(between)).abs() < 0.005
print(f"metric={close.double().mean().item():.4f}")
