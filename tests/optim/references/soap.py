"""Vyas et al., algorithms 3 and 4, as the reference implementation orders them.

The first moment is kept in the basis and turned along with it, as that implementation does.
"""

import torch

VALUES = {
    "betas": ((0.95, 0.95), (0.6, 0.8)),
    "eps": (1e-8, 1e-2),
    "shampoo_beta": (None, 0.7),
    "precondition_frequency": (10, 1),
    "max_precond_dim": (10000, 3),
    "precondition_1d": (False, True),
    "bias_correction": (True, False),
    "skip_first": (True, False),
}
ACTIVE = {"precondition_frequency": 2, "precondition_1d": True}
SHAPES = [(4, 3), (2,), (), (2, 3, 1)]  # at most one direction of a side is unseen at first


def allowed(hyper):
    """One setting is changed at a time; without the skip, eps too: in the basis of its own gradient
    the first step divides what is zero but for rounding by eps.
    """
    changed = {name for name, values in VALUES.items() if hyper[name] != values[0]}
    return changed == {"skip_first", "eps"} or (len(changed) <= 1 and hyper["skip_first"])


class Side:
    """One side's second moment and basis; without them, the side's own coordinates."""

    def __init__(self, size, is_kept, beta):
        self.basis = torch.eye(size, dtype=torch.float64)
        self.is_kept, self.beta, self.moment = is_kept, beta, torch.zeros(size, size).double()

    def see(self, x):
        self.moment = self.beta * self.moment + (1 - self.beta) * x @ x.T

    def begin(self):
        if self.is_kept:
            self.basis = torch.linalg.eigh(self.moment)[1].flip(1)

    def refresh(self):
        """The new order of the old columns."""
        order = torch.arange(len(self.basis))
        if self.is_kept:
            order = torch.diag(self.basis.T @ self.moment @ self.basis).argsort(descending=True)
            self.basis = torch.linalg.qr(self.moment @ self.basis[:, order])[0]
        return order


def reference(
    p, grads, *, lr, betas, eps, shampoo_beta, precondition_frequency, max_precond_dim,
    precondition_1d, bias_correction, skip_first,
):  # fmt: skip
    """Of the matrix of the first dimension against the rest."""
    (b1, b2), shape, is_vector = betas, p.shape, p.dim() < 2
    beta = b2 if shampoo_beta is None else shampoo_beta
    p = p.reshape(shape[0] if shape else 1, -1)
    rows, columns = (
        Side(
            p.shape[0], p.shape[0] <= max_precond_dim and (precondition_1d or not is_vector), beta
        ),
        Side(p.shape[1], p.shape[1] <= max_precond_dim and not is_vector, beta),
    )
    into = lambda x: rows.basis.T @ x @ columns.basis
    out = lambda x: rows.basis @ x @ columns.basis.T
    m, v, n = torch.zeros_like(p), torch.zeros_like(p), 0
    for index, g in enumerate(g.reshape(p.shape) for g in grads):
        if index == 0:
            rows.see(g), columns.see(g.T)
            rows.begin(), columns.begin()
            if skip_first:
                continue
        n += 1
        m, v = b1 * m + (1 - b1) * into(g), b2 * v + (1 - b2) * into(g) ** 2
        factor = (1 - b2**n) ** 0.5 / (1 - b1**n) if bias_correction else 1.0
        p = p - lr * factor * out(m / (v.sqrt() + eps))
        m = out(m)
        if index:
            rows.see(g), columns.see(g.T)
        if n % precondition_frequency == 0:
            v = v[rows.refresh()][:, columns.refresh()]
        m = into(m)
    return p.reshape(shape)
