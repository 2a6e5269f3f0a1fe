"""Minimizers of the polynomials through what is known at two points of a line.

Each returns None where the polynomial has no minimum or where overflow hides it.
"""

import math

from thalweg.minimize.searches.trials import Point


def cubic(a: Point, b: Point) -> float | None:
    """The minimizer of the cubic with the values and slopes of both points.

    With h = b - a:  theta = 3 (f_a - f_b)/h + g_a + g_b,  gamma = sign(h) sqrt(theta^2 - g_a g_b),
    alpha = a + h (theta + gamma - g_a) / (2 gamma - g_a + g_b).
    J. Nocedal & S. Wright, *Numerical Optimization* (2006), eq. 3.59.
    """
    h = b.alpha - a.alpha
    if h == 0:
        return None
    theta = 3 * (a.value - b.value) / h + a.slope + b.slope
    gamma = math.copysign(root_of_difference(theta, a.slope, b.slope), h)
    if gamma == 0:
        return None
    # Summed in this order nothing cancels that need not.
    above, below = (gamma - a.slope) + theta, ((gamma - a.slope) + gamma) + b.slope
    return shifted(a.alpha, above, below, h)


def quadratic(a: Point, b: Point) -> float | None:
    """The minimizer of the parabola with both values and the slope of `a`."""
    h = b.alpha - a.alpha
    if h == 0:
        return None
    return shifted(a.alpha, a.slope / 2, (a.value - b.value) / h + a.slope, h)


def secant(a: Point, b: Point) -> float | None:
    """Where the line through both slopes is zero."""
    return shifted(a.alpha, a.slope, a.slope - b.slope, b.alpha - a.alpha)


def root_of_difference(theta: float, g: float, h: float) -> float:
    """sqrt(theta^2 - g h) without overflow; 0 where that is below zero: the cubic is monotone."""
    size = max(abs(theta), abs(g), abs(h))
    if not 0 < size < math.inf:
        return size
    scaled = theta / size
    return size * math.sqrt(max(scaled * scaled - (g / size) * (h / size), 0.0))


def shifted(alpha: float, above: float, below: float, h: float) -> float | None:
    """alpha + above/below h, if that is a number."""
    result = alpha + above / below * h if below else math.nan
    return result if math.isfinite(result) else None
