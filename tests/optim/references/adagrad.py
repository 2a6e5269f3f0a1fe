"""Duchi, Hazan & Singer, figure 1: the diagonal of the outer products' sum, summed anew."""

import math

VALUES = {
    "lr_decay": (0.0, 0.1),
    "initial_accumulator_value": (0.0, 0.1),
    "eps": (1e-10, 1e-2),
    "eps_placement": ("outside", "inside"),
}
ACTIVE = {"lr_decay": 0.1}


def reference(p, grads, *, lr, lr_decay, initial_accumulator_value, eps, eps_placement):
    """Each step divides by the root of all squares up to it."""
    for step, g in enumerate(grads):
        total = initial_accumulator_value + math.fsum(x**2 for x in grads[: step + 1])
        root = {
            "outside": math.sqrt(total) + eps,  # PyTorch
            "inside": math.sqrt(total + eps),  # optax.scale_by_rss
        }[eps_placement]
        p -= lr / (1 + step * lr_decay) * g / root
    return p
