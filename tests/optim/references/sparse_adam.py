"""Kingma & Ba, the efficient order of section 2: averages as weighted sums, eps uncorrected."""

import math

VALUES = {"betas": ((0.9, 0.999), (0.6, 0.8)), "eps": (1e-8, 1e-3)}
ACTIVE = {}


def reference(p, grads, *, lr, betas, eps):
    """The averages anew at every step."""
    b1, b2 = betas
    for t in range(1, len(grads) + 1):
        past = grads[:t][::-1]
        m = (1 - b1) * math.fsum(b1**age * g for age, g in enumerate(past))
        v = (1 - b2) * math.fsum(b2**age * g**2 for age, g in enumerate(past))
        p -= lr * math.sqrt(1 - b2**t) / (1 - b1**t) * m / (math.sqrt(v) + eps)
    return p
