"""Gradient descent as a closed sum instead of a recursion."""

import math

VALUES = {"momentum": (0.0, 0.9), "dampening": (0.0, 0.3), "nesterov": (False, True)}
ACTIVE = {"momentum": 0.9, "dampening": 0.3}


def allowed(hyper):
    """Nesterov's look-ahead needs momentum, and no dampening."""
    return not hyper["nesterov"] or (hyper["momentum"] and not hyper["dampening"])


def reference(p, grads, *, lr, momentum, dampening, nesterov):
    """b_t = mu^(t-1) g_1 + (1 - tau) sum mu^(t-i) g_i."""
    for t in range(1, len(grads) + 1):
        weights = [
            momentum ** (t - i) * (1 if i == 1 or not momentum else 1 - dampening)
            for i in range(1, t + 1)
        ]
        b = math.fsum(w * g for w, g in zip(weights, grads, strict=False))
        p -= lr * (grads[t - 1] + momentum * b if nesterov else b)
    return p
