"""Xu's iteration, equation 25. What it averages is held to a mean in `test_moving_rates.py`."""

VALUES = {
    "lambd": (0.0, 1e-4, 0.1),
    "alpha": (0.75, 0.5),
    "t0": (0.0, 1e6),
    "convention": ("torch", "polyak"),
}
ACTIVE = {"lambd": 0.1, "t0": 1.0}


def reference(p, grads, *, lr, lambd, alpha, t0, convention):
    """w_t = w_(t-1) - eta_(t-1) (g_t + lambd w_(t-1)), with Xu's rate for t - 1 steps made."""
    for steps_made, g in enumerate(grads):
        rate = lr * (1 + lambd * lr * steps_made) ** -alpha
        p -= rate * (g + lambd * p)
    return p
