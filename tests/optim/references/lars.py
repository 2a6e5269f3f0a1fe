"""You, Gitman & Ginsburg, algorithm 1, in a velocity that the learning rate has not entered."""

VALUES = {
    "lr": (0.5,),
    "momentum": (0.9, 0.0),
    "weight_decay": (0.0, 0.1),
    "trust_coefficient": (0.02, 1e-3),
    "eps": (1e-2,),
    "nesterov": (False, True),
    "lr_inside_momentum": (True, False),
    "always_adapt": (True, False),
    "trust_norm": ("norms", "sum"),
}
ACTIVE = {"weight_decay": 0.1, "lr": 0.5, "trust_coefficient": 0.02}


def allowed(hyper):
    """Nesterov's look-ahead needs momentum; eta is tried with the paper's convention."""
    paper = hyper["lr_inside_momentum"] and hyper["always_adapt"] and not hyper["nesterov"]
    usual = hyper["trust_coefficient"] == 0.02 and hyper["trust_norm"] == "norms"
    return (paper or usual) and (hyper["momentum"] or not hyper["nesterov"])


def reference(
    p, grads, *, lr, momentum, weight_decay, trust_coefficient, eps, nesterov, lr_inside_momentum,
    always_adapt, trust_norm,
):  # fmt: skip
    """The rate is constant here, so that inside and outside are the same but for rounding."""
    b = 0.0
    for g in grads:
        d = g + weight_decay * p
        if weight_decay or always_adapt:
            size = d.norm() if trust_norm == "sum" else g.norm() + weight_decay * p.norm()
            d = d * trust_coefficient * p.norm() / (size + eps)
        b = momentum * b + d
        p = p - lr * (d + momentum * b if nesterov else b)
    return p
