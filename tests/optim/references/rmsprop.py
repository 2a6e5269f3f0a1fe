"""Lecture 6.5's running averages as the weighted sums of all gradients; momentum as a sum too."""

import math

VALUES = {
    "alpha": (0.9,),
    "eps": (1e-3,),
    "momentum": (0.0, 0.9),
    "centered": (False, True),
    "eps_placement": ("outside", "inside"),
    "initial_accumulator_value": (0.0, 1.0),
    "lr_inside_momentum": (False, True),
    "bias_correction": (False, True),
}
ACTIVE = {"momentum": 0.9, "centered": True}


def allowed(hyper):
    """The rate's place matters with momentum only; a corrected variance is zero at first."""
    first_is_zero = hyper["centered"] and hyper["bias_correction"]
    return (hyper["momentum"] or not hyper["lr_inside_momentum"]) and not (
        first_is_zero and hyper["eps_placement"] == "outside"
    )


def reference(p, grads, *, lr, alpha, eps, eps_placement, momentum, lr_inside_momentum, **how):
    """A step is the momentum's sum of all scaled gradients so far."""
    scaled = [g / root(grads[:t], alpha, eps, eps_placement, **how) for t, g in enumerate(grads, 1)]
    for t in range(1, len(grads) + 1):
        # With a constant rate it does not matter where it stands; the rate's test is elsewhere.
        p -= lr * math.fsum(momentum**age * x for age, x in enumerate(scaled[:t][::-1]))
    return p


def root(past, a, eps, placement, *, centered, initial_accumulator_value, bias_correction):
    """What divides the last of the gradients."""
    t = len(past)
    weights = [(1 - a) * a**age for age in range(t)][::-1]
    share = math.fsum(weights) if bias_correction else 1.0
    square = math.fsum(w * g**2 for w, g in zip(weights, past, strict=True))
    square = (square + a**t * initial_accumulator_value) / share
    if centered:
        square -= (math.fsum(w * g for w, g in zip(weights, past, strict=True)) / share) ** 2
    return math.sqrt(square + eps) if placement == "inside" else math.sqrt(square) + eps
