r"""Minimum, saddle point, plateau, or no critical point at all?

Three questions, in this order:

1. Is it flat? Moving all parameters by their own length D changes the loss, by slope and by
   curvature, by no more than a small share of its height above the floor:
   |g| D and |H| D^2 both at most `flat` * height. Then it is a **plateau**.
2. Is it critical? Gradient descent's step at its optimal rate, |g| / |H|, is at most `tol` * D.
   If not, the gradient still leads somewhere: **no critical point**.
3. Which one? A Ritz pair (theta, r) of the Hessian with theta + |r| < 0 proves an eigenvalue below
   zero: a **saddle**, or a **maximum** if no direction is curved upwards. A smallest eigenvalue
   above zero is a **minimum**. Where flat directions remain, or the products did not suffice, it is
   **not proven**: only higher derivatives, or more products, could tell.

D and the floor only give the scale; no verdict depends on the units of the loss.

Dauphin et al., *Identifying and attacking the saddle point problem in high-dimensional non-convex
optimization* (arXiv 1406.2572); the error bound of a Ritz pair: B. Parlett, *The Symmetric
Eigenvalue Problem* (1980), section 4.5; that negative Ritz values are at most as many as negative
eigenvalues: Courant and Fischer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, final

from torch import Tensor, nn

from thalweg.curvature.place import curvature_at
from thalweg.linalg import Extremes, lanczos, negative_curvature
from thalweg.operators import ParameterOperator

Kind = Literal["minimum", "saddle", "maximum", "plateau", "no critical point", "not proven"]

PAIRS = 4  # eigenvalues at either end, of which the negative ones are counted


@final
@dataclass(frozen=True, eq=False)
class Escape:
    """A direction in which a critical point can be left downhill.

    Attributes:
        direction: of length 1, flat, shape (n,).
        curvature: along it, negative.
        certificate: theta + |r|; an eigenvalue of the Hessian is at most this, which is below 0.
        step: how far along it the loss was lowest among those tried, 0 if it fell nowhere.
        gain: by how much it fell there, measured; 0 if nowhere.
    """

    direction: Tensor
    curvature: float
    certificate: float
    step: float
    gain: float


@final
@dataclass(frozen=True, eq=False)
class CriticalPoint:
    """What kind of point the parameters are at.

    Attributes:
        kind: the verdict.
        why: the reason, as a sentence with its numbers.
        loss: there.
        gradient_norm: |g|.
        distance: |g| / |H|, the length of gradient descent's step at its optimal rate.
        index: negative eigenvalues, at least; proved.
        escape: the way out, where negative curvature was proved.
        extremes: the ends of the spectrum that the verdict rests on.
    """

    kind: Kind
    why: str
    loss: float
    gradient_norm: float
    distance: float
    index: int
    escape: Escape | None
    extremes: Extremes

    def __str__(self) -> str:
        """The verdict with its reason."""
        return f"{self.kind}: {self.why}"


def critical_point(
    model: nn.Module | ParameterOperator,
    loss: Callable[[Any, Any], Tensor] | None = None,
    data: Any = None,
    *,
    tol: float = 1e-4,
    flat: float = 1e-2,
    floor: float = 0.0,
    length: float | None = None,
    max_products: int = 100,
    seed: int = 0,
    **options: Any,
) -> CriticalPoint:
    """What kind of point of the loss the parameters are at.

    Args:
        model: a model, with `loss` and `data` as `Hessian.of_model` takes them; or a Hessian.
        loss: from output and targets to a scalar.
        data: one batch (inputs, targets), or a list or loader of batches.
        tol: how near, in shares of `length`, a critical point must be.
        flat: which share of the loss's height makes no difference.
        floor: the lowest loss there may be.
        length: D, over which slopes count; by default the parameters' own, but at least 1.
        max_products: of the Hessian, at the most.
        seed: of the random start vector.
        options: for `Hessian.of_model`.

    Raises:
        TypeError: `model` is neither; or a loss or data is missing.
        ValueError: an argument out of its domain.
        FloatingPointError: a product is not finite.
    """
    check_shares(tol, flat, length)
    with curvature_at("critical_point", model, loss, data, options) as hessian:
        k = min(PAIRS, hessian.size)
        ends = lanczos(hessian, k=k, tol=1e-2, max_products=max(max_products, k), seed=seed)
        if ends.sign == "not proven":  # the eigenvalues are settled before their sign is
            ends = negative_curvature(hessian, max_products=max_products, seed=seed)
        scale = length or max(1.0, float(hessian.place.norm()))
        escape = way_out(hessian, ends, scale) if ends.negative_curvature else None
        norm = float(hessian.gradient.norm())
        height = abs(hessian.loss - floor)
        kind, why = verdict(norm, height, scale, ends, tol, flat)
    return CriticalPoint(
        kind=kind,
        why=why,
        loss=hessian.loss,
        gradient_norm=norm,
        distance=nearness(norm, ends),
        index=proved_index(ends),
        escape=escape,
        extremes=ends,
    )


def verdict(
    norm: float, height: float, scale: float, ends: Extremes, tol: float, flat: float
) -> tuple[Kind, str]:
    """The kind and the reason; see the module."""
    size, distance = magnitude(ends), nearness(norm, ends)
    slope, bend = norm * scale, size * scale**2
    if max(slope, bend) <= flat * height:
        return "plateau", (
            f"over the length {scale:.3g} the slope changes the loss by {slope:.2g} and the "
            f"curvature by {bend:.2g}, of its height {height:.3g}"
        )
    if distance > tol * scale:
        return "no critical point", (
            f"the gradient, {norm:.3g}, still moves the parameters by {distance:.2g} at the "
            f"optimal rate, {distance / scale:.2g} of their length"
        )
    return by_sign(ends)


def by_sign(ends: Extremes) -> tuple[Kind, str]:
    """The kind of a critical point."""
    smallest = ends.smallest
    if ends.negative_curvature:
        kind: Kind = "maximum" if ends.upper < 0 else "saddle"
        return kind, (
            f"the smallest eigenvalue is {smallest.value:.3g}, proved to be at most "
            f"{smallest.value + smallest.error:.3g}; {proved_index(ends)} or more are negative"
        )
    if ends.lower > 0:
        return "minimum", (
            f"the smallest eigenvalue is {smallest.value:.3g} and none is below {ends.lower:.3g}"
        )
    if ends.sign == "none":
        return "not proven", (
            f"no eigenvalue is below {min(ends.lower, 0.0):.2g}, but directions remain that are "
            "flat to second order"
        )
    return "not proven", (
        f"the smallest eigenvalue found is {smallest.value:.3g}; one as low as {ends.lower:.2g} "
        f"is not ruled out after {ends.products} products"
    )


def way_out(hessian: ParameterOperator, ends: Extremes, scale: float) -> Escape:
    """The escaping direction, turned downhill, with the loss measured along it."""
    pair = ends.smallest
    downhill = -1.0 if float(hessian.gradient @ pair.vector) > 0 else 1.0
    tried = {s: fall(hessian, s * pair.vector) for s in steps_out(downhill, scale)}
    step = max(tried, key=lambda s: tried[s])
    gain = max(0.0, tried[step])
    direction = math.copysign(1.0, step) * pair.vector
    return Escape(direction, pair.value, pair.value + pair.error, abs(step) if gain else 0.0, gain)


def steps_out(downhill: float, scale: float) -> list[float]:
    """Steps of one, a tenth, a hundredth and a thousandth of the scale, downhill ones first."""
    return [sign * scale * 10.0**-i for sign in (downhill, -downhill) for i in range(4)]


def fall(hessian: ParameterOperator, by: Tensor) -> float:
    """By how much the loss falls; minus infinity where it is not finite."""
    value = hessian.loss_at(by)
    return hessian.loss - value if math.isfinite(value) else -math.inf


def proved_index(ends: Extremes) -> int:
    """How many eigenvalues are negative, at least.

    Each of the k smallest eigenvalues is at most the Ritz value of its rank, but for rounding.
    """
    return sum(pair.value + ends.rounding < 0 for pair in ends.bottom)


def magnitude(ends: Extremes) -> float:
    """|H|, the largest eigenvalue by absolute value."""
    return max(abs(ends.largest.value), abs(ends.smallest.value))


def nearness(norm: float, ends: Extremes) -> float:
    """|g| / |H|; 0 where both vanish."""
    size = magnitude(ends)
    return norm / size if size > 0 else (math.inf if norm > 0 else 0.0)


def check_shares(tol: float, flat: float, length: float | None) -> None:
    """Raise ValueError on an argument of `critical_point` out of its domain."""
    for name, share in (("tol", tol), ("flat", flat)):
        if not 0 < share < 1:
            raise ValueError(f"critical_point({name}={share}): give a share between 0 and 1.")
    if length is not None and not 0 < length < math.inf:
        raise ValueError(f"critical_point(length={length}): give a positive length.")
