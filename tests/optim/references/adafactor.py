"""PyTorch's class, and Shazeer & Stern's algorithms with the whole second moment kept."""

from functools import partial

import torch

VALUES = {
    "beta2_decay": (-0.8, -0.3),
    "eps": ((1e-30, 1e-3), (1e-2, 0.5)),
    "d": (1.0, 1.5),
    "weight_decay": (0.0, 0.1),
    "convention": ("torch", "paper"),
    "scale_parameter": (True, False),
    "relative_step": (True, False),
    "beta1": (None, 0.9),
    "lr": (0.2,),
}
ACTIVE = {"weight_decay": 0.1, "beta1": 0.9, "lr": 0.2}
SHAPES = [(4, 3), (5,), (), (2, 3, 2)]


def allowed(hyper):
    """Few of the many: one convention is left at a time."""
    usual = {"scale_parameter": True, "relative_step": True, "beta1": None}
    unusual = sum(hyper[name] != value for name, value in usual.items())
    few = hyper["beta2_decay"] == -0.8 and hyper["d"] == 1.0 and hyper["eps"][1] == 0.5
    return (
        (unusual == 0 and few)
        or (unusual in (1, 3) and few)
        or (unusual == 0 and (hyper["beta2_decay"] == -0.3) == (hyper["d"] == 1.5))
    )


def reference(p, grads, **hyper):
    """PyTorch's where it has the setting."""
    plain = hyper["scale_parameter"] and hyper["relative_step"] and hyper["beta1"] is None
    return (by_pytorch if plain and hyper["convention"] == "torch" else by_paper)(p, grads, **hyper)


def by_pytorch(p, grads, *, convention, scale_parameter, relative_step, beta1, **hyper):
    """`torch.optim.Adafactor`."""
    held = torch.nn.Parameter(p.clone())
    optimizer = torch.optim.Adafactor([held], **hyper)
    for g in grads:
        held.grad = g
        optimizer.step()
    return held.detach()


def by_paper(
    p, grads, *, lr, beta2_decay, eps, d, weight_decay, convention, scale_parameter, relative_step,
    beta1,
):  # fmt: skip
    """Algorithm 4 for matrices, 5 for vectors, with the steps of algorithm 6."""
    eps1, eps2 = eps
    rms = lambda x: (x**2).mean().sqrt()
    in_square = eps1 if convention == "paper" else 0.0
    v, average = 0.0, 0.0
    for t, g in enumerate(grads, 1):
        b = 1 - t**beta2_decay
        v = b * v + (1 - b) * (g**2 + in_square)  # whole: its sums are the sums' averages
        u = g / root(v, convention, eps1)
        u = u / max(1.0, rms(u) / d)
        size = max(eps2, rms(p)) if scale_parameter else 1.0
        step = size * (min(lr, t**-0.5) if relative_step else lr) * u
        average = (beta1 or 0.0) * average + (1 - (beta1 or 0.0)) * step
        p = p * (1 - lr * weight_decay) - average
    return p


def root(v, convention, eps1):
    """The root of the second moment, of matrices as if it had rank one."""
    held = partial(torch.clamp, min=eps1) if convention == "torch" else (lambda x: x)
    if v.dim() > 1:
        rows, columns = v.sum(-1, keepdim=True), v.sum(-2, keepdim=True)
        n, k = v.shape[-2:]
        v = (rows / k) * (columns / n) / held(rows.sum(-2, keepdim=True) / n / k)
    return held(v.sqrt())
