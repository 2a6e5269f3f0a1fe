"""Saddles: a pass between two valleys, and one between three.

The gradient vanishes at a saddle, and descent that comes in along its ridge slows down there; what
leads out is a direction of negative curvature, or, where the Hessian itself vanishes, only the
third derivative.

Reference: Dauphin et al. (2014), arXiv 1406.2572, sections 2 and 4; Anandkumar & Ge (2016), arXiv
1602.05908, for degenerate saddles.
"""

import math

from torch import Tensor

from thalweg.landscapes.landscape import Landscape, critical, point


def saddle() -> Landscape:
    """A pass between two valleys: f(x, y) = x^2 - y^2 + y^4 / 4, lowest at (0, +-sqrt 2).

    The saddle is at the origin, with curvatures 2 and -2; from a start with y = 0 every method
    that follows the gradient ends there. The valleys have depth -1 and curvatures 2 and 4.
    """

    def loss(w: Tensor) -> Tensor:
        x, y = w.unbind(-1)
        return x**2 - y**2 + y**4 / 4

    root = math.sqrt(2)
    return Landscape(
        name="saddle",
        loss=loss,
        start=point(1.5, 1e-2),
        domain=((-2.0, 2.0), (-2.0, 2.0)),
        minimum=-1.0,
        critical_points=(
            critical("saddle", point(0.0, 0.0), -2.0, 2.0),
            critical("minimum", point(0.0, root), 2.0, 4.0),
            critical("minimum", point(0.0, -root), 2.0, 4.0),
        ),
    )


def monkey_saddle() -> Landscape:
    """A pass between three valleys: f(x, y) = x^3 - 3 x y^2 + (x^2 + y^2)^2 / 4.

    In polar coordinates it is r^3 cos 3 theta + r^4 / 4, so the valleys lie at r = 3 and theta =
    60, 180 and 300 degrees, at a depth of -27/4, with curvatures 9 along the radius and 27 across.
    At the origin the Hessian is zero: no second-order method sees that this is no minimum.
    """

    def loss(w: Tensor) -> Tensor:
        x, y = w.unbind(-1)
        return x**3 - 3 * x * y**2 + (x**2 + y**2) ** 2 / 4

    side = 1.5 * math.sqrt(3)
    valleys = (point(-3.0, 0.0), point(1.5, side), point(1.5, -side))
    return Landscape(
        name="monkey-saddle",
        loss=loss,
        start=point(1.0, 0.1),
        domain=((-4.0, 4.0), (-4.0, 4.0)),
        minimum=-6.75,
        critical_points=(
            critical("saddle", point(0.0, 0.0), 0.0, 0.0),
            *(critical("minimum", valley, 9.0, 27.0) for valley in valleys),
        ),
    )
