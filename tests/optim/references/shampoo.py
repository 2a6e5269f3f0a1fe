"""Gupta, Koren & Singer, algorithm 1, a line of it at a time."""

import torch

VALUES = {
    "momentum": (0.0, 0.9),
    "eps": (1e-4, 0.1),
    "shampoo_beta": (None, 0.9),
    "precondition_frequency": (1, 3),
    "max_precond_dim": (1024, 3, 1, 0),
    "inverse_exponent": (None, 0.5),
    "grafting": (None, "sgd", "adagrad"),
}
ACTIVE = {"momentum": 0.9, "precondition_frequency": 3}
SHAPES = [(4, 3), (5,), (), (2, 3, 2)]


def allowed(hyper):
    """One setting is changed at a time."""
    return sum(hyper[name] != values[0] for name, values in VALUES.items()) <= 1


def power(x, exponent):
    """x^(-exponent) by singular values, which of such a matrix are its eigenvalues."""
    u, s, _ = torch.linalg.svd(x)
    return (u * s**-exponent) @ u.T


def reference(
    p, grads, *, lr, momentum, eps, shampoo_beta, precondition_frequency, max_precond_dim,
    inverse_exponent, grafting,
):  # fmt: skip
    """Of the matrix of the first dimension against the rest; a vector has one side."""
    shape, rows = p.shape, p.shape[0] if p.dim() else 1
    is_vector, p = p.dim() < 2, p.reshape(rows, -1)
    kept = [p.shape[0] <= max_precond_dim, p.shape[1] <= max_precond_dim and not is_vector]
    exponent = inverse_exponent or 1 / (2 * max(sum(kept), 1))
    keep, take = (1.0, 1.0) if shampoo_beta is None else (shampoo_beta, 1 - shampoo_beta)
    whole = [torch.eye(size, dtype=p.dtype) for size in p.shape]
    moments, roots = [eps * x for x in whole], whole
    squares, b = torch.zeros_like(p), torch.zeros_like(p)
    for t, g in enumerate(g.reshape(p.shape) for g in grads):
        moments = [keep * x + take * y for x, y in zip(moments, (g @ g.T, g.T @ g), strict=True)]
        squares = squares + g**2
        if t % precondition_frequency == 0:
            roots = [
                power(x, exponent) if has_one else one
                for x, has_one, one in zip(moments, kept, whole, strict=True)
            ]
        left, right = roots
        d = left @ g @ right if any(kept) else g / (squares + eps).sqrt()
        other = {None: d, "sgd": g, "adagrad": g / (squares + eps).sqrt()}[grafting]
        b = momentum * b + d * other.norm() / d.norm()
        p = p - lr * b
    return p.reshape(shape)
