"""Lines with known answers: More and Thuente's, and lines that go wrong."""

import math
import sys

from thalweg.landscapes.lines import FIRST_STEPS, PUBLISHED_LINES


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


CASES = [
    (line.phi, line.decrease, line.curvature, first, count)
    for line in PUBLISHED_LINES.values()
    for first, count in zip(FIRST_STEPS, line.evaluations, strict=True)
]
IDS = [f"{name} from {first:g}" for name in PUBLISHED_LINES for first in FIRST_STEPS]


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
