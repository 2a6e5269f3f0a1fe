r"""Whether a critical point is a minimum: what the Hessian's sign says, and what the loss says.

    positive definite           a minimum
    v'Hv < 0                    the loss falls along v by |v'Hv| alpha^2 / 2: a saddle, or a maximum
    semidefinite, to rounding   a valley's floor, or a saddle of higher order

In the second case the loss itself is asked along v, since near a minimum that is only almost
reached the curvature may be below zero by a trifle; in the third along several vectors of the
Hessian's near-null space, which random starts pick. Where the loss falls by more than what the
tolerance neglects, the point is a saddle; where it does not, it is as good as a minimum.

What this cannot see: a saddle of higher order whose falling sectors all those vectors miss.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from torch import Tensor

from thalweg.linalg import Extremes, negative_curvature
from thalweg.minimize.contract import Proposal
from thalweg.minimize.inner_product import dot, length
from thalweg.minimize.line import Ray
from thalweg.minimize.loop import Loop
from thalweg.minimize.place import Standing
from thalweg.minimize.probe import LENGTHS, lower_along

# Up to so many parameters the Hessian's sign is asked without being told to.
CERTIFY_UP_TO = 1000

MAX_PRODUCTS = 200

# Vectors of a near-null space that are looked along, and how near and far.
NULL_VECTORS = 8
NULL_LENGTHS = LENGTHS[:3]


@final
@dataclass(frozen=True, eq=False)
class Certificate:
    """What is known of a critical point.

    Attributes:
        says: in words.
        curvature: the least v'Hv seen, of a unit vector v; None if the Hessian was not asked.
        lower: a place next to it that is lower, if it is a saddle.
        escape: the unit vector that leads there, shape (n,).
    """

    says: str
    curvature: float | None = None
    lower: Standing | None = None
    escape: Tensor | None = None


def certified(loop: Loop, size: float, more_than: float) -> Certificate:
    """Whether the critical point where `loop` stands is a minimum.

    Args:
        loop: its evaluations and products are counted.
        size: the length of a step that counts as far, in the parameters' units.
        more_than: the decrease of the loss that tells a saddle from a minimum.
    """
    try:
        first = curvature(loop, 0)
    except (RuntimeError, ValueError, FloatingPointError) as error:
        return Certificate(f"its curvature could not be had: {error}")
    value = first.smallest.value
    if first.sign == "positive":
        return Certificate("a minimum, the Hessian is positive definite", value)
    for found, lengths in suspects(loop, first):
        where = probed(loop, found, size, more_than, lengths)
        if where is not None:
            says = f"a saddle: curvature {found.smallest.value:.3g} along the escape"
            return Certificate(says, found.smallest.value, where[0], where[1])
    return Certificate(f"no lower loss was found next to it (curvature >= {value:.3g})", value)


def curvature(loop: Loop, seed: int) -> Extremes:
    """The sign of the smallest eigenvalue of the Hessian where the loop stands."""
    return negative_curvature(loop.place.hessian(), max_products=MAX_PRODUCTS, seed=seed)


def suspects(loop: Loop, first: Extremes) -> Iterator[tuple[Extremes, tuple[float, ...]]]:
    """Directions along which the loss may fall, each with the lengths to try."""
    yield first, LENGTHS if first.sign == "negative" else NULL_LENGTHS
    for seed in range(1, NULL_VECTORS):
        yield curvature(loop, seed), NULL_LENGTHS


def probed(
    loop: Loop, found: Extremes, size: float, more_than: float, lengths: tuple[float, ...]
) -> tuple[Standing, Tensor] | None:
    """A lower place along the vector of least curvature, and the unit vector that leads there."""
    unit = found.smallest.vector.to(loop.place.x)
    ray = Ray(loop.objective, loop.place, unit, loop.left)
    proposal = Proposal(
        vector=unit,
        slope=dot(loop.place.gradient, unit),
        length=size,
        curvature=found.smallest.value if found.sign == "negative" else 0.0,
        escapes=True,
    )
    end = lower_along(ray, proposal, more_than, lengths)
    loop.counts.probes += ray.evaluations
    return (ray.at(end.alpha), unit if end.alpha > 0 else -unit) if end.alpha else None


def reach(x: Tensor, x0: Tensor) -> float:
    """What counts as far from `x`: |x|, or the way from the start, or 1 if both are zero."""
    return max(length(x), length(x - x0)) or 1.0
