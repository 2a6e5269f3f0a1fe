"""A pure function of its parameters, and its gradient by torch.func."""

import os

import torch
from torch.func import grad_and_value

torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)


def spiral(n):
    arm = torch.randint(0, 2, (n,)).float()
    t = torch.rand(n).sqrt() * 5 + 0.5
    x = torch.stack([t * torch.cos(t + 3.14159 * arm), t * torch.sin(t + 3.14159 * arm)], 1) / 3
    return x + 0.06 * torch.randn(n, 2), arm


def init(sizes):
    pairs = zip(sizes, sizes[1:])
    return [(torch.randn(m, n) * (2 / m) ** 0.5, torch.zeros(n)) for m, n in pairs]


def apply(params, x):
    *hidden, (w, b) = params
    for v, c in hidden:
        x = torch.relu(x @ v + c)
    return (x @ w + b)[:, 0]


def objective(params, x, y):
    return torch.nn.functional.binary_cross_entropy_with_logits(apply(params, x), y)


x, y = spiral(800)
x_test, y_test = spiral(400)
params = init([2, 48, 48, 1])
speed = [(torch.zeros_like(w), torch.zeros_like(b)) for w, b in params]
step = grad_and_value(objective)
for i in range(1200):
    rows = torch.randint(0, 800, (64,))
    grads, loss = step(params, x[rows], y[rows])
    speed = [(0.9 * v + gw, 0.9 * c + gb) for (v, c), (gw, gb) in zip(speed, grads)]
    params = [(w - 0.05 * v, b - 0.05 * c) for (w, b), (v, c) in zip(params, speed)]

print("accuracy", ((apply(params, x_test) > 0) == (y_test > 0.5)).float().mean().item())
