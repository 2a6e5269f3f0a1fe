"""Places for directions of second order: a loss at a point, with its matrices by autograd."""

import torch
from torch.autograd.functional import hessian as dense_hessian

from thalweg.operators import Matrix


class At:
    """A loss at x, with whatever other matrices the test gives."""

    def __init__(self, loss, x, **others):
        variable = x.detach().clone().requires_grad_()
        value = loss(variable)
        (self.gradient,) = torch.autograd.grad(value, variable)
        self.x, self.value, self.loss = x.detach().clone(), value.item(), loss
        self.others = others

    def dense(self):
        return dense_hessian(self.loss, self.x)

    def hessian(self):
        return Matrix(self.dense(), name="Hessian")

    def gauss_newton(self):
        return self.others["gauss_newton"](self.x)

    def fisher(self):
        return self.others["fisher"](self.x)

    def kronecker(self, settings):
        return self.others["kronecker"](self.x, settings)

    def eigenvalue_corrected(self, settings, basis=None):
        return self.others["eigenvalue_corrected"](self.x, settings, basis)

    def moved(self, by):
        return At(self.loss, self.x + by, **self.others)


def halving(at, proposal):
    """The place after the first step, halved until the loss falls; either sign for an escape."""
    signs = (1, -1) if proposal.escapes else (1,)
    for k in range(60):
        for sign in signs:
            there = at.moved(sign * proposal.length * 0.5**k * proposal.vector)
            if there.value < at.value:
                return there
    return at


def descend(direction, at, steps, *, until=0.0):
    """Places from `at` on, while the gradient is longer than `until`."""
    path = [at]
    while len(path) <= steps and path[-1].gradient.norm() > until:
        path.append(halving(path[-1], direction.propose(path[-1])))
        direction.moved(path[-2], path[-1])
    return path


def vector(n, seed=3, dtype=torch.float64):
    return torch.randn(n, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def turned(values, seed=1):
    """A symmetric matrix with these eigenvalues in random directions, and its eigenvectors."""
    values = torch.as_tensor(values, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    draw = torch.randn(len(values), len(values), generator=generator, dtype=torch.float64)
    q, _ = torch.linalg.qr(draw)
    a = q @ torch.diag(values) @ q.T
    return (a + a.T) / 2, q


def quadratic(a, b):
    """x'Ax / 2 - b'x."""
    return lambda x: x @ a @ x / 2 - b @ x


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def saddle(x):
    """x^2 - y^2 + y^4 / 4: a saddle at 0, minima of -1 at y = +-sqrt 2."""
    return x[0] ** 2 - x[1] ** 2 + x[1] ** 4 / 4
