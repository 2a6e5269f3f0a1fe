r"""How many random vectors share a number of products that are to show a spectrum's density.

One long run of Lanczos resolves finely. The mean over k vectors has a sampling error of 1/sqrt(k)
of one vector's, and each has 1/k of the products. Both errors are areas between distribution
functions, which the first run shows as it grows:

    sampling      of the weight F below x of what are not single eigenvalues: over x the integral of
                  the mean |error|, sqrt(2/pi) sqrt(2 F (1 - F) / (n + 2))
    resolution    half the area by which the distribution moved since half the products, and in
                  proportion to k

The run grows to 1/k of all products, k from the most vectors allowed down to 1, until k vectors
promise the least sum.
"""

import math

import torch
from torch import Tensor

from thalweg.linalg.krylov import Krylov, Ritz
from thalweg.linalg.measure import Measure, distance, earlier
from thalweg.operators import Operator

# A Ritz value is taken for an eigenvalue where its error is below this share of |A|, and of the
# distance to the next Ritz value.
CONVERGED = 1e-3
SEPARATE = 0.1
# The weight of a simple eigenvalue, times n, is above this at one seed in two thousand.
HEAVY = 12.0
# What a distribution is still off, over how far it moved since half the products.
STILL_OFF = 0.5


def balanced(operator: Operator, products: int, probes: int, seed: int) -> tuple[Krylov, int]:
    """The first run, and how many vectors are to share the products, it among them."""
    first = Krylov(operator, seed=seed)
    for sharing in range(probes, 1, -1):
        grow(first, products // sharing)
        if first.closed or enough_resolved(first, sharing):
            return first, sharing
    grow(first, products)
    return first, 1


def grow(krylov: Krylov, products: int) -> None:
    """Until it has taken so many products or nothing is left to see."""
    while krylov.products < products and not krylov.closed:
        krylov.grow()


def enough_resolved(krylov: Krylov, sharing: int) -> bool:
    """Whether no fewer than `sharing` vectors with as many products each promise less error."""
    ritz, size = krylov.ritz(), krylov.operator.size
    measure = Measure.of(krylov)
    sampling = sampling_distance(measure.without(single(ritz, size)), size)
    resolution = STILL_OFF * distance(measure, earlier(ritz, krylov.products // 2))

    def error(k: int) -> float:
        return sampling / math.sqrt(k) + resolution * k / sharing

    return min(range(sharing, 0, -1), key=error) == sharing


def sampling_distance(measure: Measure, size: int) -> float:
    """The area expected between a random vector's distribution function and the spectrum's."""
    below = measure.weights.cumsum(0)[:-1].clamp(0, 1)
    error = (2 / (size + 2) * below * (1 - below)).sqrt()
    return math.sqrt(2 / math.pi) * float(error @ measure.nodes.diff())


def single(ritz: Ritz, size: int, *, every: bool = False) -> Tensor:
    """Which Ritz values are eigenvalues by themselves, as far as the run can tell.

    Not all of them, unless it is known that `every` one is an eigenvalue; boolean, shape (m,).
    """
    if every:
        return torch.ones_like(ritz.values, dtype=torch.bool)
    gaps = torch.cat([ritz.values.new_full((1,), math.inf), ritz.values.diff()])
    nearest = torch.minimum(gaps, gaps.roll(-1))
    limit = (SEPARATE * nearest).clamp_max(CONVERGED * float(ritz.values.abs().max()))
    weights = ritz.weights[0].square()
    found = (ritz.errors <= limit) & (size * weights <= HEAVY)
    found[weights.argmax()] &= not bool(found.all())
    return found
