"""The slide's recursion unrolled: gradient i moves every later point by its own share."""

import math

VALUES = {"momentum": (0.0, 0.9, 0.5)}
ACTIVE = {"momentum": 0.9}
BOWL = {"momentum": 0.3}


def reference(p, grads, *, lr, momentum):
    """w_T = w_0 - lr sum_i g_i (1 + c + ... + c^(T - i))."""
    last = len(grads) - 1
    travelled = (
        g * math.fsum(momentum**k for k in range(last - i + 1)) for i, g in enumerate(grads)
    )
    return p - lr * math.fsum(travelled)
