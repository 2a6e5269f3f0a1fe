"""Zhuang et al., algorithm 2, with both averages as sums over ages."""

import math

VALUES = {
    "betas": ((0.9, 0.999), (0.6, 0.8)),
    "eps": (1e-16, 1e-3),
    "eps_placement": ("both", "outside"),
}
ACTIVE = {"betas": (0.6, 0.8)}


def reference(p, grads, *, lr, betas, eps, eps_placement):
    """s_t = sum b2^(t-i) [(1 - b2) (g_i - m_i)^2 + eps]."""
    b1, b2 = betas
    added = eps if eps_placement == "both" else 0.0
    parts = []
    for t, g in enumerate(grads, 1):
        m = (1 - b1) * math.fsum(b1**age * x for age, x in enumerate(grads[:t][::-1]))
        parts.append((1 - b2) * (g - m) ** 2 + added)
        s = math.fsum(b2**age * x for age, x in enumerate(reversed(parts)))
        p -= lr * (m / (1 - b1**t)) / (math.sqrt(s / (1 - b2**t)) + eps)
    return p
