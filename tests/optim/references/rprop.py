"""Riedmiller & Braun, the adaptation and learning rule of section II, with its remembered step."""

VALUES = {
    "lr": (1e-2, 0.1),
    "etas": ((0.5, 1.2), (0.3, 1.5)),
    "step_sizes": ((1e-6, 50.0), (5e-3, 0.2)),
    "convention": ("torch", "paper"),
}
ACTIVE = {}
BOWL = {"step_sizes": (1e-6, 5e-3)}


def reference(p, grads, *, lr, etas, step_sizes, convention):
    """One weight, as in the paper's pseudo-code; iRprop- leaves the taking back out."""
    delta, last, step = lr, 0.0, 0.0
    for g in grads:
        if g * last > 0:
            delta = min(delta * etas[1], step_sizes[1])
        elif g * last < 0:
            delta = max(delta * etas[0], step_sizes[0])
            step = -step if convention == "paper" else 0.0
            p, last = p + step, 0.0
            continue
        step = -delta if g > 0 else delta if g < 0 else 0.0
        p, last = p + step, g
    return p
