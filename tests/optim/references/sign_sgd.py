"""Bernstein et al., algorithm 2, counting votes: b^age says how much a past gradient counts."""

import math

VALUES = {"momentum": (0.0, 0.9)}
ACTIVE = {"momentum": 0.9}


def reference(p, grads, *, lr, momentum):
    """Every step is lr long, up or down."""
    for t in range(1, len(grads) + 1):
        votes = math.fsum(momentum**age * g for age, g in enumerate(grads[:t][::-1]))
        p -= math.copysign(lr, votes) if votes else 0.0
    return p
