r"""How many of n directions a projector keeps, judged by what it keeps of random vectors.

For a projector P of rank k and Gaussian vectors g_1 ... g_v of R^n, the share that P keeps,

    B = sum |P g_i|^2 / sum |g_i|^2,

is a sum of v k squared normal variables over one of v n: it has the beta distribution with the
parameters v k / 2 and v (n - k) / 2, exactly. An interval for k is the set of those k for which the
observed share is not among the rare ones.

The distribution function is computed by its continued fraction (Abramowitz & Stegun, *Handbook of
Mathematical Functions*, 1964, 26.5.8), evaluated as W. Lentz does (*Applied Optics* 15, 1976).
"""

import math
from collections.abc import Callable

# Shares nearer to 0 or 1 than this are these, but for rounding.
ROUNDING = 1e-12
# Where the fraction's factors no longer change its value. It takes some sqrt(a + b) of them.
SETTLED = 1e-13


def ranks(low: float, high: float, size: int, vectors: int, failure: float) -> tuple[int, int]:
    """The least and the largest rank that are not too unlikely.

    Args:
        low: the share seen is at least this.
        high: the share seen is at most this.
        size: n.
        vectors: v.
        failure: the chance that the rank lies outside; half of it on either side.
    """

    low, high = snapped(low), snapped(high)

    def is_enough(k: int) -> bool:
        return chance_of_at_least(low, k, size, vectors) >= failure / 2

    def is_too_many(k: int) -> bool:
        return chance_of_at_most(high, k, size, vectors) < failure / 2

    least = first(is_enough, size)
    return least, max(least, first(is_too_many, size + 1) - 1)


def snapped(share: float) -> float:
    """`share` between 0 and 1, and at one of them where only rounding keeps it away."""
    if share <= ROUNDING:
        return 0.0
    return 1.0 if share >= 1 - ROUNDING else share


def chance_of_at_least(share: float, k: int, size: int, vectors: int) -> float:
    """That a projector of rank `k` keeps `share` or more."""
    return chance_of_at_most(1 - share, size - k, size, vectors)  # what the other one keeps


def chance_of_at_most(share: float, k: int, size: int, vectors: int) -> float:
    """That a projector of rank `k` keeps `share` or less."""
    if k == 0 or share == 1:
        return 1.0
    if k == size or share == 0:
        return 0.0
    return beta_distribution(share, vectors * k / 2, vectors * (size - k) / 2)


def first(holds: Callable[[int], bool], last: int) -> int:
    """The first of 0 ... `last` for which `holds`, which holds from there on."""
    low, high = 0, last
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def beta_distribution(x: float, a: float, b: float) -> float:
    """The chance of at most `x`, 0 < x < 1; a and b > 0 are the parameters."""
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast below
        return 1 - beta_distribution(1 - x, b, a)
    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    density = math.exp(a * math.log(x) + b * math.log1p(-x) - log_beta)
    return density / (a * fraction(x, a, b))


def fraction(x: float, a: float, b: float) -> float:
    """1 + d_1 / (1 + d_2 / (1 + ...)), whose inverse is the rest of the beta distribution."""
    value = front = 1.0
    back, step, m = 0.0, 0.0, 0
    while abs(step - 1) > SETTLED:
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        m += 1
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        step = 1.0
        for d in (odd, even):
            back = 1 / (1 + d * back)
            front = 1 + d / front
            step *= front * back
        value *= step
    return value
