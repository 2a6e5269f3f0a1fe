"""Liu et al., algorithm 2, with the averages as sums and the length of v's memory as a mean age."""

import math

VALUES = {
    "betas": ((0.9, 0.999), (0.6, 0.8)),
    "eps": (1e-8, 1e-2),
    "rectify_above": (4.0, 5.0),
    "eps_placement": ("uncorrected", "outside"),
}
ACTIVE = {"betas": (0.6, 0.8)}


def reference(p, grads, *, lr, betas, eps, rectify_above, eps_placement):
    """The length rho_t solves: a simple average over it has the same centre of mass as v."""
    b1, b2 = betas
    longest = 2 / (1 - b2) - 1
    for t in range(1, len(grads) + 1):
        past = grads[:t][::-1]
        m = math.fsum(b1**age * g for age, g in enumerate(past))
        m /= math.fsum(b1**age for age in range(t))
        weights = [b2**age for age in range(t)]
        v = (1 - b2) * math.fsum(w * g**2 for w, g in zip(weights, past, strict=True))
        # (rho + 1) / 2 is the mean age, counted from 1 (the paper's equation 3)
        mean_age = math.fsum(w * (age + 1) for age, w in enumerate(weights)) / math.fsum(weights)
        rho = 2 * mean_age - 1
        share = 1 - b2**t
        if rho <= rectify_above:
            p -= lr * m
            continue
        rectification = math.sqrt(variance(longest) / variance(rho))
        outside = eps_placement == "outside"
        root = math.sqrt(v / share) + (eps if outside else eps / math.sqrt(share))
        p -= lr * rectification * m / root
    return p


def variance(rho):
    """Var[1 / sqrt(v_hat)] in the paper's approximation (equation 4), for unit deviation."""
    return rho / (2 * (rho - 2) * (rho - 4))
