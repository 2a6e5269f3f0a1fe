"""Identify a coupled oscillator from recorded motions by simulating it forward."""

import math
import os

import torch

generator = torch.Generator().manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)

STATES, STEPS = 6, 60


def normal(*shape):
    return torch.randn(*shape, generator=generator)


rotation = torch.linalg.qr(normal(STATES, STATES)).Q
true_step = 0.98 * rotation


def simulate(step_matrix, start):
    state, path = start, []
    for _ in range(STEPS):
        state = state @ step_matrix.T
        path.append(state)
    return torch.stack(path, 1)


starts, new_starts = normal(200, STATES), normal(100, STATES)
motions = simulate(true_step, starts) + 0.02 * normal(200, STEPS, STATES)
new_motions = simulate(true_step, new_starts)

guess = (rotation + 0.12 * normal(STATES, STATES)).requires_grad_()
optimizer = torch.optim.SGD([guess], lr=0.01, momentum=0.9)
for epoch in range(15):
    for rows in torch.randperm(200, generator=generator).split(25):
        loss = (simulate(guess, starts[rows]) - motions[rows]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([guess], 1.0)
        optimizer.step()
    print(f"epoch {epoch}  loss {loss.item():.5g}")

with torch.no_grad():
    error = (simulate(guess, new_starts) - new_motions).square().mean().item()
print(f"metric={math.sqrt(error):.5f}")
