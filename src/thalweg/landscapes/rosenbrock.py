"""Rosenbrock's valley: long, bent and nearly flat along its floor.

Reference: Rosenbrock (1960), *An automatic method for finding the greatest or least value of a
function*, eq. 3; Shang & Qiu (2006) for what is known of it in many dimensions.
"""

import math

from torch import Tensor

from thalweg.landscapes.landscape import Landscape, critical, point


def rosenbrock(a: float = 1.0, b: float = 100.0) -> Landscape:
    """A bent valley: f(x, y) = (a - x)^2 + b (y - x^2)^2, lowest at (a, a^2).

    The floor is the parabola y = x^2. At the minimizer the Hessian is
    [[2 + 8 a^2 b, -4 a b], [-4 a b, 2 b]], with determinant 4 b: for a = 1 and b = 100 its
    condition number is 2508. There is no other critical point.

    Args:
        a: Where the floor is lowest.
        b: How steep the walls are, above zero.

    Raises:
        ValueError: `b` is not above zero.
    """
    if b <= 0:
        raise ValueError(f"rosenbrock(b={b}): the walls rise only if b is above zero.")

    def loss(w: Tensor) -> Tensor:
        x, y = w.unbind(-1)
        return (a - x) ** 2 + b * (y - x**2) ** 2

    half_trace = 1 + 4 * a**2 * b + b
    spread = math.sqrt(half_trace**2 - 4 * b)
    largest = half_trace + spread
    reach = max(2.0, 2 * abs(a))
    return Landscape(
        name="rosenbrock",
        loss=loss,
        start=point(-1.2, 1.0),
        domain=((-reach, reach), (-0.25 * reach**2, 0.75 * reach**2 + a**2)),
        minimum=0.0,
        critical_points=(critical("minimum", point(a, a**2), 4 * b / largest, largest),),
    )
