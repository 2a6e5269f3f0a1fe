"""Lines on which line searches are tried: More and Thuente's six, with the counts published.

J. More & D. Thuente, *ACM Trans. Math. Softw.* 20 (1994), section 5 and tables I to VI. The fourth
to sixth are H. Yanai, M. Ozawa & S. Kaneko's (1981).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

Phi = Callable[[float], tuple[float, float]]

FIRST_STEPS = (1e-3, 1e-1, 1e1, 1e3)


@final
@dataclass(frozen=True)
class PublishedLine:
    """A line, what is asked of a step along it, and what it took More and Thuente's search.

    Attributes:
        phi: from a step, at least 0, to the value and the slope.
        decrease, curvature: the constants c1 and c2 of the strong Wolfe conditions.
        evaluations: after the one at zero, for each of `FIRST_STEPS`.
    """

    phi: Phi
    decrease: float
    curvature: float
    evaluations: tuple[int, int, int, int]


def rational(alpha: float, beta: float = 2.0) -> tuple[float, float]:
    """-alpha / (alpha^2 + beta): one minimum, and flatter the farther out."""
    below = alpha**2 + beta
    return -alpha / below, (alpha**2 - beta) / below**2


def quintic(alpha: float, beta: float = 0.004) -> tuple[float, float]:
    """t^5 - 2 t^4 with t = alpha + beta: nearly level at zero, and a minimum at 1.596."""
    t = alpha + beta
    return t**5 - 2 * t**4, 5 * t**4 - 8 * t**3


def wavy(alpha: float, beta: float = 0.01, waves: int = 39) -> tuple[float, float]:
    """A smoothed |alpha - 1| under waves, which make many slopes of the wrong sign."""
    pace = waves * math.pi / 2
    wave = (1 - beta) / pace * math.sin(pace * alpha)
    slope = (1 - beta) * math.cos(pace * alpha)
    if abs(alpha - 1) >= beta:
        return abs(alpha - 1) + wave, math.copysign(1, alpha - 1) + slope
    return (alpha - 1) ** 2 / (2 * beta) + beta / 2 + wave, (alpha - 1) / beta + slope


def yanai(beta1: float, beta2: float) -> Phi:
    """Two smoothed corners, near 0 and near 1, as sharp as beta1 and beta2 are small."""

    def gamma(beta: float) -> float:
        return math.sqrt(1 + beta**2) - beta

    def phi(alpha: float) -> tuple[float, float]:
        near_one = math.sqrt((1 - alpha) ** 2 + beta2**2)
        near_zero = math.sqrt(alpha**2 + beta1**2)
        value = gamma(beta1) * near_one + gamma(beta2) * near_zero
        slope = gamma(beta1) * (alpha - 1) / near_one + gamma(beta2) * alpha / near_zero
        return value, slope

    return phi


PUBLISHED_LINES = {
    "rational": PublishedLine(rational, 0.001, 0.1, (6, 3, 1, 4)),
    "quintic": PublishedLine(quintic, 0.1, 0.1, (12, 8, 8, 11)),
    "wavy": PublishedLine(wavy, 0.1, 0.1, (12, 12, 10, 13)),
    "yanai equal": PublishedLine(yanai(0.001, 0.001), 0.001, 0.001, (4, 1, 3, 4)),
    "yanai left": PublishedLine(yanai(0.01, 0.001), 0.001, 0.001, (6, 3, 7, 8)),
    "yanai right": PublishedLine(yanai(0.001, 0.01), 0.001, 0.001, (13, 11, 8, 11)),
}
