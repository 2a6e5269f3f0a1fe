"""Kingma & Ba, algorithm 1, with the averages as the weighted sums of their equation 3."""

import math

VALUES = {
    "betas": ((0.9, 0.999), (0.6, 0.8)),
    "eps": (1e-8, 1e-3),
    "amsgrad": (False, True),
}
ACTIVE = {"amsgrad": True}


def reference(p, grads, *, lr, betas, eps, amsgrad):
    """m_t = (1 - b1) sum b1^(t-i) g_i, the averages anew at every step."""
    b1, b2 = betas
    largest = 0.0
    for t in range(1, len(grads) + 1):
        past = grads[:t][::-1]
        m = (1 - b1) * math.fsum(b1**age * g for age, g in enumerate(past))
        v = (1 - b2) * math.fsum(b2**age * g**2 for age, g in enumerate(past))
        largest = max(largest, v)
        m_hat, v_hat = m / (1 - b1**t), (largest if amsgrad else v) / (1 - b2**t)
        p -= lr * m_hat / (math.sqrt(v_hat) + eps)
    return p
