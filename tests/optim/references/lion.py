"""Chen et al., algorithm 2: the memory as a sum over ages, the step as the sign of a blend."""

import math

VALUES = {"lr": (1e-2, 1e-4), "betas": ((0.9, 0.99), (0.5, 0.8))}
ACTIVE = {}


def reference(p, grads, *, lr, betas):
    """theta_t = theta_(t-1) - eta sign(c_t)."""
    b1, b2 = betas
    for t, g in enumerate(grads):
        memory = (1 - b2) * math.fsum(b2**age * x for age, x in enumerate(reversed(grads[:t])))
        c = b1 * memory + (1 - b1) * g
        p -= lr * ((c > 0) - (c < 0))
    return p
