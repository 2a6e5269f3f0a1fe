"""The regularizing effect of small batches, as a penalty: what one epoch of descent really follows.

Averaged over the orders of m batches, the end of an epoch of descent at the rate eta lies, up to
O(eta^3), where gradient flow leads in the time m eta on the loss

    C(w) + eta / 4 mean_k |grad C_k(w)|^2,    C_k the loss of batch k, C their mean:

S. L. Smith, B. Dherin, D. Barrett & S. De, *On the origin of implicit regularization in stochastic
gradient descent* (ICLR 2021), equation 1. The mean square exceeds |grad C|^2, which is what is left
of it with one batch of all samples, by the gradients' variance over batches: so the smaller the
batches, the stronger the penalty.
"""

import itertools

import pytest
import torch
from torch.func import grad
from torch.testing import assert_close

SAMPLES = 4


def data():
    random = torch.Generator().manual_seed(0)
    x = torch.randn(SAMPLES, 2, generator=random, dtype=torch.float64)
    return x, torch.tensor([1.0, -1.0, 1.0, 1.0], dtype=torch.float64)


def loss(w, rows):
    """Logistic loss with a cubic bend, so that no derivative that matters is zero."""
    x, y = data()
    return torch.nn.functional.softplus(-(y * (x @ w + (x @ w) ** 3 / 5)))[rows].mean()


def steepness(w, rows):
    return grad(loss)(w, rows).square().sum()


def batches(size):
    return torch.arange(SAMPLES).split(size)


def after_an_epoch(w, rate, size):
    """The mean over all orders of the batches."""
    ends = []
    for order in itertools.permutations(batches(size)):
        at = w
        for rows in order:
            at = at - rate * grad(loss)(at, rows)
        ends.append(at)
    return torch.stack(ends).mean(0)


def flowed(w, rate, size, penalized):
    """Gradient flow for as long as an epoch takes, by Runge and Kutta's method."""
    whole = torch.arange(SAMPLES)

    def downhill(at):
        step = grad(loss)(at, whole)
        for rows in batches(size) if penalized else ():
            step = step + rate / 4 * grad(steepness)(at, rows) / len(batches(size))
        return -step

    h, steps = rate * len(batches(size)) / 8, 8
    for _ in range(steps):
        a = downhill(w)
        b = downhill(w + h / 2 * a)
        c = downhill(w + h / 2 * b)
        w = w + h / 6 * (a + 2 * b + 2 * c + downhill(w + h * c))
    return w


@pytest.mark.parametrize("size", [1, 2, 4])
def test_an_epoch_follows_the_penalized_loss(size):
    w = torch.tensor([0.4, -0.7], dtype=torch.float64)
    missed = torch.tensor(
        [
            [
                (after_an_epoch(w, rate, size) - flowed(w, rate, size, penalized)).norm().item()
                for rate in (0.02, 0.01)
            ]
            for penalized in (True, False)
        ]
    )
    orders = (missed[:, 0] / missed[:, 1]).log2()
    assert_close(orders, torch.tensor([3.0, 2.0]), rtol=0, atol=0.15)
    assert missed[0, 1] < missed[1, 1] / 10


def test_the_smaller_the_batches_the_stronger_the_penalty():
    w = torch.tensor([0.4, -0.7], dtype=torch.float64)
    sizes = (4, 2, 1)
    mean = [torch.stack([steepness(w, rows) for rows in batches(size)]).mean() for size in sizes]
    assert mean[0] < mean[1] < mean[2]
    each = torch.stack([grad(loss)(w, rows) for rows in batches(1)])
    assert_close(mean[2] - mean[0], each.var(0, correction=0).sum())
