"""What is right: dense Hessians, and products by differences of gradients, without any library."""

from functools import cache

import torch
from torch.autograd.functional import hessian
from torch.func import functional_call

from curving.networks import trained


def dense_hessian(problem):
    """The Hessian of the mean loss of all samples, by PyTorch, row after row."""
    params = {name: p.detach() for name, p in problem.model.named_parameters()}
    inputs, targets = (torch.cat(part) for part in zip(*problem.data, strict=True))
    sizes = [p.numel() for p in params.values()]

    def loss(flat):
        parts = zip(params, flat.split(sizes), strict=True)
        named = {name: part.view_as(params[name]) for name, part in parts}
        return problem.loss(functional_call(problem.model, named, (inputs,)), targets)

    found = hessian(loss, torch.cat([p.flatten() for p in params.values()]))
    return (found + found.T) / 2


@cache
def small_hessian(steps):
    """The dense Hessian of the small net and its eigenvalues, ascending."""
    dense = dense_hessian(trained(steps))
    return dense, torch.linalg.eigvalsh(dense)


def by_differences(problem, vector, seed=0, h=3e-6):
    """H v from gradients at four places on a line; dropout keeps the seed's mask.

    So near to each other that rectified linear units seldom switch between them.
    """

    def gradient(by):
        return gradient_at(problem, by * vector, seed)

    near, far = gradient(h) - gradient(-h), gradient(2 * h) - gradient(-2 * h)
    return (8 * near - far) / (12 * h)


def gradient_at(problem, by, seed=0):
    """The gradient with the parameters displaced by the flat vector `by`."""
    there = problem.copied()
    params = there.parameters
    with torch.no_grad():
        for p, step in zip(params, by.split([p.numel() for p in params]), strict=True):
            p += step.view_as(p)
    torch.manual_seed(seed)
    (batch,) = there.data
    value = there.loss(there.model(batch[0]), batch[1])
    found = torch.autograd.grad(value, params, materialize_grads=True)
    return torch.cat([g.flatten() for g in found])


def relative_error(found, right):
    return float((found - right).norm() / right.norm())
