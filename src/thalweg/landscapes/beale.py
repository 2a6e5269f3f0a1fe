"""Beale's function: a broad plain with sharp corners and one minimum.

Reference: Beale (1958), *On an iterative method for finding a local minimum of a function of more
than one variable*; Moré, Garbow & Hillstrom (1981), problem 5.
"""

import math

from torch import Tensor

from thalweg.landscapes.landscape import Landscape, critical, point

TARGETS = (1.5, 2.25, 2.625)


def beale() -> Landscape:
    """Three residuals, lowest at (3, 1/2).

    f(x, y) = (1.5 - x + x y)^2 + (2.25 - x + x y^2)^2 + (2.625 - x + x y^3)^2.

    A saddle lies at (0, 1), with curvatures +-2 (1.5 + 2 * 2.25 + 3 * 2.625) = +-27.75. At the
    minimizer the residuals vanish, so the Hessian is 2 J^T J of their Jacobian J, with rows
    (y^i - 1, i x y^(i - 1)): [[2 (1/4 + 9/16 + 49/64), ...], ...].
    """

    def loss(w: Tensor) -> Tensor:
        x, y = w.unbind(-1)
        residuals = ((target - x * (1 - y**i)) for i, target in enumerate(TARGETS, 1))
        first, second, third = residuals
        return first**2 + second**2 + third**2

    cross = 2 * sum(i * target for i, target in enumerate(TARGETS, 1))
    return Landscape(
        name="beale",
        loss=loss,
        start=point(1.0, 1.0),
        domain=((-1.0, 4.5), (-1.5, 1.5)),
        minimum=0.0,
        critical_points=(
            critical("minimum", point(3.0, 0.5), *_at_the_minimizer(3.0, 0.5)),
            critical("saddle", point(0.0, 1.0), -cross, cross),
        ),
    )


def _at_the_minimizer(x: float, y: float) -> tuple[float, float]:
    """The eigenvalues of 2 J^T J, from its trace and its determinant."""
    rows = [(y**i - 1, i * x * y ** (i - 1)) for i in (1, 2, 3)]
    xx, yy, xy = (2 * sum(r[i] * r[j] for r in rows) for i, j in ((0, 0), (1, 1), (0, 1)))
    middle, spread = (xx + yy) / 2, math.hypot((xx - yy) / 2, xy)
    return (xx * yy - xy**2) / (middle + spread), middle + spread
