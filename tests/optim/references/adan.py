"""Xie et al., algorithm 1, in the paper's betas (what is new); and the authors' corrections."""

import math

VALUES = {
    "betas": ((0.98, 0.92, 0.99), (0.7, 0.6, 0.8)),
    "eps": (1e-8, 1e-2),
    "convention": ("official", "paper", "optax"),
}
ACTIVE = {"betas": (0.7, 0.6, 0.8)}


def reference(p, grads, *, lr, betas, eps, convention):
    """Lines 3 to 7 without decay; line 10 says how the paper starts."""
    beta1, beta2, beta3 = (1 - b for b in betas)
    official = convention != "paper"
    ahead = beta2 if convention == "optax" else 1 - beta2  # optax takes its own b2 for the paper's
    m, v, n = (0.0, 0.0, 0.0) if official else (grads[0], 0.0, grads[0] ** 2)
    for k, g in enumerate(grads):
        difference = g - grads[k - 1] if k else 0.0
        if k or official:
            m = (1 - beta1) * m + beta1 * g
            v = (1 - beta2) * v + beta2 * difference
            n = (1 - beta3) * n + beta3 * (g + ahead * difference) ** 2
        full = [1 - (1 - b) ** (k + 1) if official else 1.0 for b in (beta1, beta2, beta3)]
        rate = lr / (math.sqrt(n / full[2]) + eps)
        p -= rate * (m / full[0] + ahead * v / full[1])
    return p
