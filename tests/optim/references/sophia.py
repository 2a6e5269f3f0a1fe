"""Liu et al., algorithm 3, between estimates; `test_sophia.py` has the steps after one."""

import math

VALUES = {"betas": ((0.96, 0.99), (0.5, 0.8)), "curvature_scale": (0.01, 1.0), "eps": (1e-12, 1.0)}
ACTIVE = {"eps": 0.01}


def reference(p, grads, *, lr, betas, curvature_scale, eps):
    """Without an estimate every curvature is zero, so that eps divides."""
    b1 = betas[0]
    for t in range(1, len(grads) + 1):
        m = (1 - b1) * math.fsum(b1**age * g for age, g in enumerate(grads[:t][::-1]))
        p -= lr * max(-1.0, min(1.0, m / eps))
    return p
