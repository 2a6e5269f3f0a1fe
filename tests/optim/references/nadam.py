"""Dozat's algorithm 2, PyTorch's and optax's formulas, with products and averages written out."""

import math

VALUES = {
    "betas": ((0.9, 0.999), (0.6, 0.8)),
    "eps": (1e-2,),
    "momentum_decay": (4e-3, 0.5),
    "convention": ("torch", "paper", "optax"),
}
ACTIVE = {"momentum_decay": 0.1}


def reference(p, grads, *, lr, betas, eps, momentum_decay, convention):
    """The average's weights are products of its decays, whatever these are."""
    nu = betas[1]
    mu = [betas[0] * (1 - 0.5 * 0.96 ** (t * momentum_decay)) for t in range(1, len(grads) + 2)]
    if convention == "optax":  # optax.nadam: scale_by_adam(nesterov=True)
        mu = [betas[0]] * (len(grads) + 1)
    decays = mu if convention == "paper" else [betas[0]] * len(grads)
    for t, g in enumerate(grads, 1):
        m = math.fsum((1 - decays[i]) * grads[i] * math.prod(decays[i + 1 : t]) for i in range(t))
        n = (1 - nu) * math.fsum(nu ** (t - 1 - i) * grads[i] ** 2 for i in range(t))
        n_hat = n / (1 - nu**t) * (nu if convention == "paper" else 1)
        m_bar = (1 - mu[t - 1]) * g / (1 - math.prod(mu[:t]))
        m_bar += mu[t] * m / (1 - math.prod(mu[: t + 1]))
        p -= lr * m_bar / (math.sqrt(n_hat) + eps)
    return p
