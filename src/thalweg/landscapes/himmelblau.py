"""Himmelblau's function: four minima of the same depth, saddles between them, a hill amid all.

Reference: Himmelblau (1972), *Applied Nonlinear Programming*, p. 428.
"""

from torch import Tensor

from thalweg.landscapes.landscape import CriticalPoint, Kind, Landscape, critical, point

# The nine real solutions of gradient = 0, to float64's last digit or so (Newton's method); only
# (3, 2) is rational.
POINTS: tuple[tuple[Kind, float, float], ...] = (
    ("minimum", 3.0, 2.0),
    ("minimum", -2.805118086952745, 3.131312518250573),
    ("minimum", -3.779310253377747, -3.2831859912861696),
    ("minimum", 3.5844283403304917, -1.8481265269644036),
    ("saddle", -3.0730257507643897, -0.08135304428796751),
    ("saddle", -0.12796134673068008, -1.9537149802445763),
    ("saddle", 0.08667750455539636, 2.884254701174776),
    ("saddle", 3.385154183607021, 0.07385187983774928),
    ("maximum", -0.2708445906673476, -0.9230385564799815),
)


def himmelblau() -> Landscape:
    """Four equal minima: f(x, y) = (x^2 + y - 11)^2 + (x + y^2 - 7)^2.

    One hill (181.617 at its top) and four saddles lie between them. The Hessian is
    [[12 x^2 + 4 y - 42, 4 (x + y)], [4 (x + y), 12 y^2 + 4 x - 26]].
    """

    def loss(w: Tensor) -> Tensor:
        x, y = w.unbind(-1)
        return (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2

    return Landscape(
        name="himmelblau",
        loss=loss,
        start=point(0.0, 0.0),
        domain=((-5.0, 5.0), (-5.0, 5.0)),
        minimum=0.0,
        critical_points=tuple(_critical(*each) for each in POINTS),
    )


def _critical(kind: Kind, x: float, y: float) -> CriticalPoint:
    xx, xy, yy = 12 * x**2 + 4 * y - 42, 4 * (x + y), 12 * y**2 + 4 * x - 26
    middle, spread = (xx + yy) / 2, (((xx - yy) / 2) ** 2 + xy**2) ** 0.5
    return critical(kind, point(x, y), middle - spread, middle + spread)
