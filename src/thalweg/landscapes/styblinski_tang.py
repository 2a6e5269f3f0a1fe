"""Styblinski and Tang's function: in every coordinate a deep well and a shallow one.

Of its 3^n critical points 2^n are minima and only one is lowest; all others but one hill are
saddles, so that saddles outnumber minima as the dimension grows, as the courses say of networks.

Reference: Styblinski & Tang (1990), *Experiments in nonconvex optimization*, Neural Networks 3.
"""

from itertools import product

from torch import Tensor

from thalweg.landscapes.landscape import CriticalPoint, Kind, Landscape, critical, point

# The roots of 4 x^3 - 32 x + 5: deep well, hill, shallow well.
ROOTS = (-2.903534027771177, 0.1567312567803401, 2.746802770990837)


def styblinski_tang(dimension: int = 2) -> Landscape:
    """Wells: f(w) = 1/2 sum_i (w_i^4 - 16 w_i^2 + 5 w_i), lowest at -2.9035 in every coordinate.

    The Hessian is diagonal with entries 6 w_i^2 - 16.

    Args:
        dimension: n, from 1 to 8 (it lists 3^n critical points).

    Raises:
        ValueError: Another dimension.
    """
    if not 1 <= dimension <= 8:
        raise ValueError(
            f"styblinski_tang(dimension={dimension}): it has 3^n critical points and lists them, "
            "so it comes in dimensions from 1 to 8."
        )

    def loss(w: Tensor) -> Tensor:
        return (w**4 - 16 * w**2 + 5 * w).sum(-1) / 2

    deepest = ROOTS[0]
    return Landscape(
        name="styblinski-tang",
        loss=loss,
        start=point(*[0.0] * dimension),
        domain=((-5.0, 5.0),) * dimension,
        minimum=dimension * (deepest**4 - 16 * deepest**2 + 5 * deepest) / 2,
        critical_points=tuple(map(_critical, product(ROOTS, repeat=dimension))),
    )


def _critical(at: tuple[float, ...]) -> CriticalPoint:
    curvatures = [6 * x**2 - 16 for x in at]
    kinds: dict[int, Kind] = {0: "minimum", len(at): "maximum"}
    downhill = sum(c < 0 for c in curvatures)
    return critical(kinds.get(downhill, "saddle"), point(*at), *curvatures)
