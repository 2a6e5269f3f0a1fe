"""Zeiler, algorithm 1, with both accumulations as weighted sums of all that came before."""

import math

VALUES = {"lr": (1.0, 0.3), "rho": (0.9, 0.95), "eps": (1e-6, 1e-2)}
ACTIVE = {}


def reference(p, grads, *, lr, rho, eps):
    """RMS[x]_t = sqrt(E[x^2]_t + eps), and a step is RMS[steps]_(t-1) / RMS[g]_t times g_t."""

    def rms(values):
        weighted = (rho**age * x**2 for age, x in enumerate(reversed(values)))
        return math.sqrt((1 - rho) * math.fsum(weighted) + eps)

    steps = []
    for t, g in enumerate(grads, 1):
        steps.append(-rms(steps) / rms(grads[:t]) * g)
        p += lr * steps[-1]
    return p
