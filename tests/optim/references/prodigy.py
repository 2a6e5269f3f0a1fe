"""Mishchenko & Defazio, algorithm 4, on one vector of all parameters, in numpy."""

import numpy as np
import torch

ALL = True
VALUES = {
    "lr": (1.0, 0.3),
    "betas": ((0.9, 0.999), (0.6, 0.8)),
    "eps": (1e-8,),
    "weight_decay": (0.0, 0.1),
    "d0": (1e-6, 1e-2),
}
ACTIVE = {"lr": 1.0, "d0": 1e-2, "betas": (0.6, 0.8), "weight_decay": 0.1}


def reference(starts, grads, *, lr, betas, eps, weight_decay, d0):
    """Lines 4 to 11; the inner product is one number of the whole vector."""
    x = start = joined(starts)
    beta1, beta2 = betas
    d, r = d0, 0.0
    m, v, s = (np.zeros_like(x) for _ in range(3))
    for g in map(joined, grads):
        m = beta1 * m + (1 - beta1) * d * g
        v = beta2 * v + (1 - beta2) * (d * g) ** 2
        r = beta2**0.5 * r + (1 - beta2**0.5) * lr * d**2 * np.dot(g, start - x)
        s = beta2**0.5 * s + (1 - beta2**0.5) * lr * d**2 * g
        x = x - lr * d * weight_decay * x - lr * d * m / (np.sqrt(v) + d * eps)
        d = max(d, r / np.abs(s).sum())
    pieces = torch.split(torch.from_numpy(x), [p.numel() for p in starts])
    return [piece.view_as(p) for piece, p in zip(pieces, starts, strict=True)]


def joined(tensors):
    return torch.cat([x.flatten() for x in tensors]).numpy()
