"""Wright, algorithms 1 to 3, on one flat vector of all parameters."""

import random

import torch

ALL = True
VALUES = {"selection": ("cyclic", "random", "greedy"), "seed": (0, 7)}
ACTIVE = {}


def reference(starts, grads, *, lr, selection, seed):
    """x_i <- x_i - alpha [grad f(x)]_i for i = i_k."""
    x = torch.cat([p.flatten() for p in starts]).tolist()
    for k, gs in enumerate(grads):
        g = torch.cat([each.flatten() for each in gs]).tolist()
        i = {
            "cyclic": k % len(x),
            "random": random.Random(f"{seed} {k}").randrange(len(x)),
            "greedy": max(range(len(x)), key=lambda j, g=g: abs(g[j])),
        }[selection]
        x[i] -= lr * g[i]
    pieces = torch.tensor(x, dtype=torch.float64).split([p.numel() for p in starts])
    return [piece.view_as(p) for piece, p in zip(pieces, starts, strict=True)]
