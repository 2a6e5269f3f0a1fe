"""Residuals in any number of variables."""

import math

import torch
from torch import Tensor

from thalweg.landscapes.more_garbow_hillstrom.problem import upto


def rosenbrock(x: Tensor) -> Tensor:
    """A curved valley; n even, n/2 of them that do not meet."""
    odd, even = x[0::2], x[1::2]
    return torch.cat([10 * (even - odd**2), 1 - odd])


def powell_singular(x: Tensor) -> Tensor:
    """The Hessian at the minimum is singular; n a multiple of 4."""
    a, b, c, d = x[0::4], x[1::4], x[2::4], x[3::4]
    return torch.cat([a + 10 * b, 5**0.5 * (c - d), (b - 2 * c) ** 2, 10**0.5 * (a - d) ** 2])


def watson(x: Tensor) -> Tensor:
    """A polynomial that is to solve a differential equation."""
    t, j = upto(29)[:, None] / 29, upto(len(x)) - 1
    slope = (j[1:] * x[1:] * t ** (j[1:] - 1)).sum(1)
    fit = slope - (x * t**j).sum(1) ** 2 - 1
    return torch.cat([fit, x[:1], (x[1] - x[0] ** 2 - 1)[None]])


def penalty_one(x: Tensor) -> Tensor:
    """Entries near 1, held to a small sphere."""
    return torch.cat([1e-5**0.5 * (x - 1), ((x**2).sum() - 0.25)[None]])


def variably_dimensioned(x: Tensor) -> Tensor:
    """One stiff direction, to the fourth power."""
    total = (upto(len(x)) * (x - 1)).sum()
    return torch.cat([x - 1, torch.stack([total, total**2])])


def trigonometric(x: Tensor) -> Tensor:
    """Sums of cosines, with many minima."""
    n = len(x)
    return n - x.cos().sum() + upto(n) * (1 - x.cos()) - x.sin()


def brown_almost_linear(x: Tensor) -> Tensor:
    """All equations are linear but the last, a product."""
    n = len(x)
    return torch.cat([x[:-1] + x.sum() - (n + 1), (x.prod() - 1)[None]])


def broyden_tridiagonal(x: Tensor) -> Tensor:
    """Quadratic equations, each of three neighbours."""
    zero = x.new_zeros(1)
    return (3 - 2 * x) * x - torch.cat([zero, x[:-1]]) - 2 * torch.cat([x[1:], zero]) + 1


def penalty_two(x: Tensor) -> Tensor:
    """Neighbours along an exponential, held to a weighted sphere."""
    n, weight = len(x), 1e-5**0.5
    i, grown = upto(n)[1:], (x / 10).exp()
    follow = grown[1:] + grown[:-1] - (i / 10).exp() - ((i - 1) / 10).exp()
    decay = grown[1:] - math.exp(-0.1)
    sphere = ((n + 1 - upto(n)) * x**2).sum() - 1
    return torch.cat([(x[0] - 0.2)[None], weight * follow, weight * decay, sphere[None]])


def boundary_value(x: Tensor) -> Tensor:
    """A boundary value problem of second order by differences."""
    h = 1 / (len(x) + 1)
    left, right = torch.nn.functional.pad(x, (1, 0))[:-1], torch.nn.functional.pad(x, (0, 1))[1:]
    return 2 * x - left - right + h**2 * (x + h * upto(len(x)) + 1) ** 3 / 2


def integral_equation(x: Tensor) -> Tensor:
    """The same problem as an integral equation."""
    h = 1 / (len(x) + 1)
    t = h * upto(len(x))
    cubes = (x + t + 1) ** 3
    below, above = torch.cumsum(t * cubes, 0), ((1 - t) * cubes).sum()
    beyond = above - torch.cumsum((1 - t) * cubes, 0)
    return x + h * ((1 - t) * below + t * beyond) / 2


def broyden_banded(x: Tensor) -> Tensor:
    """Cubic equations, each of up to seven neighbours."""
    i = torch.arange(len(x))
    apart = i[:, None] - i[None, :]
    band = ((apart <= 5) & (apart >= -1) & (apart != 0)).to(x)
    return x * (2 + 5 * x**2) + 1 - band @ (x * (1 + x))


def linear_full_rank(x: Tensor, m: int = 20) -> Tensor:
    """m linear equations of full rank."""
    shifted = -(2 / m) * x.sum() - 1 + x.new_zeros(m)
    return shifted + torch.nn.functional.pad(x, (0, m - len(x)))


def linear_rank_one(x: Tensor, m: int = 20) -> Tensor:
    """m linear equations of rank one."""
    return upto(m) * (upto(len(x)) * x).sum() - 1


def linear_rank_one_with_zeros(x: Tensor, m: int = 20) -> Tensor:
    """The same, with columns and rows of zeros."""
    inner = (upto(m - 2) * (upto(len(x) - 1)[1:] * x[1:-1]).sum()) - 1
    return torch.cat([-x.new_ones(1), inner, -x.new_ones(1)])


def chebyquad(x: Tensor) -> Tensor:
    """Nodes of a quadrature with equal weights: means of Chebyshev polynomials on [0, 1]."""
    z = 2 * x - 1
    before, here, means = torch.ones_like(z), z, []
    for _ in range(len(x)):
        means.append(here.mean())
        before, here = here, 2 * z * here - before
    i = upto(len(x))
    integrals = torch.where(i % 2 == 0, -1 / (i**2 - 1).clamp_min(1), 0.0)
    return torch.stack(means) - integrals
