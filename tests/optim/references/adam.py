"""Kingma & Ba, algorithm 1, with the averages as the weighted sums of their equation 3."""

import math

VALUES = {
    "betas": ((0.9, 0.999), (0.6, 0.8)),
    "eps": (1e-8, 1e-3),
    "amsgrad": (False, True),
    "eps_placement": ("outside", "inside", "uncorrected", "floor"),
    "amsgrad_convention": ("torch", "paper", "optax"),
}
ACTIVE = {"amsgrad": True}


def allowed(hyper):
    """AMSGrad's conventions are of AMSGrad, and meet eps where PyTorch has it."""
    plain = hyper["amsgrad_convention"] == "torch"
    return plain or (hyper["amsgrad"] and hyper["eps_placement"] == "outside")


def reference(p, grads, *, lr, betas, eps, amsgrad, eps_placement, amsgrad_convention):
    """m_t = (1 - b1) sum b1^(t-i) g_i, the averages anew at every step."""
    b1, b2 = betas
    uncorrected = amsgrad and amsgrad_convention == "paper"  # Reddi et al., algorithm 2
    largest = 0.0
    for t in range(1, len(grads) + 1):
        past = grads[:t][::-1]
        m = (1 - b1) * math.fsum(b1**age * g for age, g in enumerate(past))
        v = (1 - b2) * math.fsum(b2**age * g**2 for age, g in enumerate(past))
        c1, c2 = (1.0, 1.0) if uncorrected else (1 - b1**t, 1 - b2**t)
        if amsgrad and amsgrad_convention == "optax":  # optax.scale_by_amsgrad
            largest = max(largest, v / c2)
            v_hat = largest
        else:
            largest = max(largest, v)
            v_hat = (largest if amsgrad else v) / c2
        p -= lr * m / c1 / denominator(v_hat, c2, eps)[eps_placement]
    return p


def denominator(v_hat, c2, eps):
    """By where eps stands."""
    return {
        "outside": math.sqrt(v_hat) + eps,
        "inside": math.sqrt(v_hat + eps),
        "uncorrected": (math.sqrt(v_hat * c2) + eps) / math.sqrt(c2),
        "floor": max(math.sqrt(v_hat), eps),
    }
