"""Zaheer et al., algorithm 2, where v is moved up or down; and what optax makes of it."""

import math

VALUES = {
    "betas": ((0.9, 0.999), (0.6, 0.8)),
    "eps": (1e-3, 1e-8),
    "initial_accumulator_value": (0.0, 1e-6, 0.5),
    "convention": ("paper", "optax"),
}
ACTIVE = {"betas": (0.6, 0.8)}


def reference(p, grads, *, lr, betas, eps, initial_accumulator_value, convention):
    """optax.yogi: both moments start at the same value and are divided by 1 - b^t."""
    b1, b2 = betas
    corrected = convention == "optax"
    start, v = (initial_accumulator_value if corrected else 0.0), initial_accumulator_value
    for t in range(1, len(grads) + 1):
        past = grads[:t][::-1]
        m = b1**t * start + (1 - b1) * math.fsum(b1**age * g for age, g in enumerate(past))
        square = past[0] ** 2
        if v != square:
            v += (1 - b2) * (square if v < square else -square)
        m_hat, v_hat = (m / (1 - b1**t), v / (1 - b2**t)) if corrected else (m, v)
        p -= lr * m_hat / (math.sqrt(v_hat) + eps)
    return p
