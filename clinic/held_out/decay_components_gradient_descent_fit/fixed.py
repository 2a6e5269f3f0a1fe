"""Resolve a luminescence decay into two components from photon counts over time."""

import math
import os

import numpy as np
import torch

rng = np.random.default_rng(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

amplitudes = np.array([1.0, 0.6]) * rng.uniform(0.9, 1.1, 2)
rates = np.array([2.0, 0.7]) * rng.uniform(0.9, 1.1, 2)


def decay(t):
    return (amplitudes * np.exp(-rates * t[:, None])).sum(1)


t = rng.uniform(0, 6, 300)
signal = decay(t) + 0.0005 * rng.standard_normal(300)
later = rng.uniform(0, 9, 300)
t, signal, later, clean = map(torch.tensor, (t, signal, later, decay(later)))

log_amplitudes = torch.zeros(2, dtype=torch.float64, requires_grad=True)
log_rates = torch.tensor([0.3, -0.3], dtype=torch.float64, requires_grad=True)
parameters = [log_amplitudes, log_rates]


def model(t):
    return (log_amplitudes.exp() * torch.exp(-log_rates.exp() * t[:, None])).sum(1)


optimizer = torch.optim.LBFGS(parameters, line_search_fn="strong_wolfe")


def closure():
    optimizer.zero_grad()
    loss = (model(t) - signal).square().mean()
    loss.backward()
    return loss


for step in range(100):
    loss = optimizer.step(closure)
    if step % 20 == 0:
        print(f"step {step:3d}  loss {loss.item():.3e}")

with torch.no_grad():
    error = math.sqrt((model(later) - clean).square().mean().item())
print(f"metric={error:.6f}")
