"""Lines with known answers: More and Thuente's six functions, and lines that go wrong.

The functions and the counts are those of J. More & D. Thuente, *ACM Trans. Math. Softw.* 20 (1994),
section 5 and tables I to VI. The fourth to sixth are H. Yanai, M. Ozawa & S. Kaneko's.
"""

import math
import sys

FIRST = (1e-3, 1e-1, 1e1, 1e3)


class Recorded:
    """A line that remembers where it was evaluated; its loss is multiplied by `scale`."""

    def __init__(self, phi, scale=1.0, eps=sys.float_info.epsilon):
        self.phi, self.scale, self.eps = phi, scale, eps
        self.alphas = []

    def __call__(self, alpha):
        self.alphas.append(alpha)
        return self.at(alpha)

    def at(self, alpha):
        value, slope = self.phi(alpha)
        return self.scale * value, self.scale * slope

    @property
    def zero(self):
        return self.at(0.0)


def rational(alpha, beta=2.0):
    below = alpha**2 + beta
    return -alpha / below, (alpha**2 - beta) / below**2


def quintic(alpha, beta=0.004):
    t = alpha + beta
    return t**5 - 2 * t**4, 5 * t**4 - 8 * t**3


def wavy(alpha, beta=0.01, l=39):
    wave = 2 * (1 - beta) / (l * math.pi) * math.sin(l * math.pi / 2 * alpha)
    slope = (1 - beta) * math.cos(l * math.pi / 2 * alpha)
    if abs(alpha - 1) >= beta:
        return abs(alpha - 1) + wave, math.copysign(1, alpha - 1) + slope
    return (alpha - 1) ** 2 / (2 * beta) + beta / 2 + wave, (alpha - 1) / beta + slope


def yanai(beta1, beta2):
    def gamma(beta):
        return math.sqrt(1 + beta**2) - beta

    def phi(alpha):
        near_one = math.sqrt((1 - alpha) ** 2 + beta2**2)
        near_zero = math.sqrt(alpha**2 + beta1**2)
        value = gamma(beta1) * near_one + gamma(beta2) * near_zero
        slope = gamma(beta1) * (alpha - 1) / near_one + gamma(beta2) * alpha / near_zero
        return value, slope

    return phi


# name: the line, c1, c2, the published evaluations for each first step
PUBLISHED = {
    "rational": (rational, 0.001, 0.1, (6, 3, 1, 4)),
    "quintic": (quintic, 0.1, 0.1, (12, 8, 8, 11)),
    "wavy": (wavy, 0.1, 0.1, (12, 12, 10, 13)),
    "yanai equal": (yanai(0.001, 0.001), 0.001, 0.001, (4, 1, 3, 4)),
    "yanai left": (yanai(0.01, 0.001), 0.001, 0.001, (6, 3, 7, 8)),
    "yanai right": (yanai(0.001, 0.01), 0.001, 0.001, (13, 11, 8, 11)),
}
CASES = [
    (phi, c1, c2, first, count)
    for phi, c1, c2, counts in PUBLISHED.values()
    for first, count in zip(FIRST, counts, strict=True)
]
IDS = [f"{name} from {first:g}" for name in PUBLISHED for first in FIRST]


def barred(phi, beyond, value=math.nan, slope=math.nan):
    """A line whose loss beyond a point is what is given."""
    return lambda alpha: (value, slope) if alpha > beyond else phi(alpha)


def parabola(alpha, minimum=1.0, floor=0.0):
    return (alpha - minimum) ** 2 / 2 + floor, alpha - minimum


NOT_FINITE = {
    "no number": (math.nan, math.nan),
    "no number with a finite slope": (math.nan, -1.0),
    "infinite": (math.inf, math.nan),
    "infinite with a finite slope": (math.inf, 1.0),
    "minus infinity": (-math.inf, -1.0),
    "finite without a slope": (-1.0, math.nan),
}
