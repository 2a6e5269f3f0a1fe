"""The steps of a method within one call of an optimizer's `step`, and how they ended."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from thalweg.minimize.certificate import CERTIFY_UP_TO, certified, reach
from thalweg.minimize.inner_product import dot, length
from thalweg.minimize.loop import Loop, Move, downhill
from thalweg.minimize.place import Standing
from thalweg.minimize.status import NO_LOWER, NO_NUMBER, Status, share_of_gradient
from thalweg.minimize.tolerance import Tolerance

# The loss may change by this factor more or less than its gradients say, and no more.
FITTING = 16.0


@final
@dataclass(frozen=True)
class Limits:
    """When to stop.

    Attributes:
        iterations: at most so many.
        tolerance: of a gradient that counts as zero.
        change: of the parameters, relative to their length: a step no longer than that is the last.
        certify: whether to ask the Hessian's sign where the gradient counts as zero; None for
            where the direction has the Hessian anyway and there are at most 1000 parameters.
        fits: whether the gradient is known to be the loss's; if not, it is checked where a search
            does not end as it should.
    """

    iterations: int
    tolerance: Tolerance
    change: float
    certify: bool | None
    fits: bool


@final
@dataclass(frozen=True)
class Ending:
    """How a stride ended: the status, and why in a sentence; see `minimize.status`."""

    status: Status
    why: str


def stride(loop: Loop, start: Tensor, limits: Limits) -> Ending:
    """Steps from where the loop stands until there is a reason to stop.

    Args:
        loop: at a place that is finite.
        start: that place, shape (n,).
        limits: when to stop.

    Raises:
        ValueError: the gradient is not that of the loss.
    """
    for _ in range(limits.iterations):
        if is_flat(loop, limits) and (ending := judged(loop, start, limits)):
            return ending
        if loop.left <= 0:
            return Ending("out of budget", f"its evaluations are spent; {slope(loop, limits)}")
        before = loop.place
        move = loop.advance()
        if move.status != "satisfied" and not limits.fits:
            check_fit(before, loop.place if move.alpha else nearby(loop))
        if not move.alpha:
            return halted(loop, move, limits)
        moved = length(loop.place.x - before.x)
        if limits.change and moved <= limits.change * reach(loop.place.x, start):
            return Ending("stalled", f"the last step was short; {slope(loop, limits)}")
    if is_flat(loop, limits) and (ending := judged(loop, start, limits)):
        return ending
    return Ending("out of budget", f"its iterations are spent; {slope(loop, limits)}")


def is_flat(loop: Loop, limits: Limits) -> bool:
    """Whether the gradient counts as zero, and the direction knows no way out."""
    if not limits.tolerance.flat(loop.place.size):
        return False
    escapes = "hessian" in loop.direction.needs and loop.place.size == 0
    return not (escapes and loop.proposal.escapes)


def judged(loop: Loop, start: Tensor, limits: Limits) -> Ending | None:
    """The ending at a critical point; None if it was a saddle, which the loop has left."""
    place = loop.place
    if not certifies(loop, limits):
        return Ending("converged", f"{slope(loop, limits)}; its curvature was not asked")
    negligible = limits.tolerance.negligible(place.value)
    certificate = certified(loop, reach(place.x, start), negligible)
    if certificate.lower is None:
        return Ending("converged", f"{slope(loop, limits)}; {certificate.says}")
    loop.go(certificate.lower)
    return None


def certifies(loop: Loop, limits: Limits) -> bool:
    """Whether the Hessian's sign is asked."""
    if limits.certify is not None:
        return limits.certify
    return "hessian" in loop.direction.needs and len(loop.place.x) <= CERTIFY_UP_TO


def halted(loop: Loop, move: Move, limits: Limits) -> Ending:
    """The ending where no step leads on."""
    if move.status == "not finite":
        return Ending("not finite", NO_NUMBER)
    if loop.left <= 0:
        return Ending("out of budget", f"its evaluations are spent; {slope(loop, limits)}")
    return Ending("stalled", f"{NO_LOWER}; {slope(loop, limits)}")


def slope(loop: Loop, limits: Limits) -> str:
    """The gradient's size in words."""
    return share_of_gradient(loop.place.size, limits.tolerance.gradient)


def nearby(loop: Loop) -> Standing:
    """A place down the negative gradient, as far as a first step would go."""
    proposal = downhill(loop.place)
    x = loop.place.x + proposal.length * proposal.vector
    return Standing(loop.objective, x, *loop.objective.evaluate(x))


def check_fit(one: Standing, other: Standing) -> None:
    """Refuse a gradient that is not the loss's, by the trapezoidal rule between two places.

        f(y) - f(x) = (g(x) + g(y))'(y - x) / 2,    exactly where f is quadratic

    Raises:
        ValueError: the two differ by a factor beyond `FITTING`.
    """
    found = other.value - one.value
    promised = dot(one.gradient + other.gradient, other.x - one.x) / 2
    noise = 64 * torch.finfo(one.x.dtype).eps * max(abs(one.value), abs(other.value))
    if not (abs(found) > noise and abs(promised) > noise and math.isfinite(found / promised)):
        return
    if not 1 / FITTING < found / promised < FITTING:
        raise ValueError(
            f"step(closure): between two points the loss changed {found / promised:.3g} times as "
            "much as its gradients say. The closure must return the loss whose gradient it "
            "computes: call backward on what it returns, and leave the gradients as they are. With "
            "GradScaler, divide each p.grad by its scale in the closure; autocast in bfloat16 "
            "needs no scaler."
        )
