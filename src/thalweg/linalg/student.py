r"""Quantiles of Student's t, for intervals around a mean of few samples.

For T with d degrees of freedom and theta = atan(t / sqrt(d)), P(|T| <= t) is a finite sum:

    d odd:   2/pi (theta + sin cos (1 + 2/3 cos^2 + ... + 2.4...(d-3) / 3.5...(d-2) cos^(d-3)))
    d even:  sin (1 + 1/2 cos^2 + ... + 1.3...(d-3) / 2.4...(d-2) cos^(d-2))

Abramowitz & Stegun, *Handbook of Mathematical Functions* (1964), 26.7.3 and 26.7.4.
"""

import math
from functools import cache

# From here on the quantile is the limit's but for some ten-thousandths, and on the wide side.
MANY = 10_000


@cache  # of many degrees of freedom it takes thousands of terms, and is asked for again and again
def t_quantile(confidence: float, freedom: int) -> float:
    """The t with P(|T| <= t) = `confidence`, for `freedom` degrees of freedom, at least 1."""
    freedom = min(freedom, MANY)
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        if central_share(middle, freedom) < confidence:
            low = middle
        else:
            high = middle
    return math.sqrt(freedom) * math.tan(low)


def central_share(theta: float, freedom: int) -> float:
    """P(|T| <= sqrt(d) tan theta) for d = `freedom`."""
    odd = freedom % 2
    sine, cosine = math.sin(theta), math.cos(theta)
    term, total = 1.0, 0.0
    for i in range(1 + odd, freedom, 2):
        total += term
        term *= i / (i + 1) * cosine**2
        if term < 1e-18 * total:
            break
    return 2 / math.pi * (theta + sine * cosine * total) if odd else sine * total
