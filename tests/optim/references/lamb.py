"""You et al., algorithm 2, with sums in place of averages: m = (1 - b1) sum b1^age g."""

VALUES = {
    "betas": ((0.9, 0.999), (0.6, 0.8)),
    "eps": (1e-6, 1e-2),
    "weight_decay": (0.0, 0.1),
    "bias_correction": (True, False),
    "always_adapt": (True, False),
    "max_weight_norm": (None, 1.5),
    "max_trust": (None, 1.0),
}
ACTIVE = {"weight_decay": 0.1}


def allowed(hyper):
    """Few of the many: conventions are combined with the usual moments."""
    usual = hyper["betas"] == (0.9, 0.999) and hyper["eps"] == 1e-6
    unusual = sum(
        hyper[k] is not v
        for k, v in {"always_adapt": True, "max_weight_norm": None, "max_trust": None}.items()
    )
    return unusual == 0 or (unusual in (1, 3) and usual)


def reference(
    p, grads, *, lr, betas, eps, weight_decay, bias_correction, always_adapt, max_weight_norm,
    max_trust,
):  # fmt: skip
    """phi(z) = min(z, max_weight_norm); the ratio at most max_trust."""
    (b1, b2), total, squares, weights = betas, 0.0, 0.0, (0.0, 0.0)
    for g in grads:
        total, squares = b1 * total + g, b2 * squares + g**2
        weights = (b1 * weights[0] + 1, b2 * weights[1] + 1)
        m, v = (1 - b1) * total, (1 - b2) * squares
        if bias_correction:
            m, v = total / weights[0], squares / weights[1]
        step = m / (v.sqrt() + eps) + weight_decay * p
        phi = min(float(p.norm()), max_weight_norm or float("inf"))
        ratio = min(phi / float(step.norm()), max_trust or float("inf"))
        p = p - lr * (ratio if weight_decay or always_adapt else 1.0) * step
    return p
