"""Kingma & Ba, section 7.1: u_t = max(b2^(t-1) |g_1|, ..., b2 |g_(t-1)|, |g_t|)."""

import math

VALUES = {
    "betas": ((0.9, 0.999), (0.6, 0.8)),
    "eps": (0.0, 1e-8, 1e-2),
    "eps_placement": ("inside", "outside"),
}
ACTIVE = {}


def reference(p, grads, *, lr, betas, eps, eps_placement):
    """The maximum over all past gradients, each with its age's weight."""
    b1, b2 = betas
    within, beside = (eps, 0.0) if eps_placement == "inside" else (0.0, eps)
    for t in range(1, len(grads) + 1):
        past = grads[:t][::-1]
        m = (1 - b1) * math.fsum(b1**age * g for age, g in enumerate(past))
        u = max(b2**age * (abs(g) + within) for age, g in enumerate(past))
        p -= lr / (1 - b1**t) * m / (u + beside)
    return p
