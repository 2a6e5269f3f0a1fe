"""PyTorch's class where it computes in bfloat16; in full precision, the polynomial of the SVD."""

import torch

VALUES = {
    "momentum": (0.95, 0.5),
    "nesterov": (True, False),
    "ns_coefficients": ((3.4445, -4.775, 2.0315), (2.0, -1.5, 0.5)),
    "eps": (1e-7,),
    "ns_steps": (5, 2),
    "adjust_lr_fn": (None, "original", "match_rms_adamw"),
    "ns_precision": ("full", "bfloat16"),
    "flatten": (False,),
}
ACTIVE = {"ns_precision": "full"}
SHAPES = [(4, 3), (3, 5), (5,), (), (2, 3, 2)]


def allowed(hyper):
    """Few of the many: one setting is changed at a time."""
    first = {name: values[0] for name, values in VALUES.items() if name != "ns_precision"}
    return sum(hyper[name] != value for name, value in first.items()) <= 1


def reference(p, grads, *, ns_precision, flatten, **hyper):
    """Of the tensor as a matrix with as many rows as the first dimension has."""
    rows = p.shape[0] if p.dim() else 1
    follow = by_pytorch if ns_precision == "bfloat16" else by_singular_values
    return follow(p.reshape(rows, -1), [g.reshape(rows, -1) for g in grads], **hyper).reshape(
        p.shape
    )


def by_pytorch(p, grads, **hyper):
    """`torch.optim.Muon`."""
    held = torch.nn.Parameter(p.clone())
    optimizer = torch.optim.Muon([held], weight_decay=0.0, **hyper)
    for g in grads:
        held.grad = g
        optimizer.step()
    return held.detach()


def by_singular_values(
    p, grads, *, lr, momentum, nesterov, ns_coefficients, eps, ns_steps, adjust_lr_fn
):
    """Each singular value by itself."""
    rows, columns = p.shape
    factor = {
        None: max(1, rows / columns) ** 0.5,
        "original": max(1, rows / columns) ** 0.5,
        "match_rms_adamw": 0.2 * max(rows, columns) ** 0.5,
    }[adjust_lr_fn]
    total = torch.zeros_like(p)  # Jordan's sum of gradients: in proportion to PyTorch's average
    for g in grads:
        total = momentum * total + g
        u, s, vt = torch.linalg.svd(g + momentum * total if nesterov else total, False)
        s = s / (s**2).sum().sqrt()
        for _ in range(ns_steps):
            s = sum(c * s**power for c, power in zip(ns_coefficients, (1, 3, 5), strict=True))
        p = p - lr * factor * (u * s) @ vt
    return p
