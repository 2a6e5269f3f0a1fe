r"""Conjugate gradients as Hessian-free optimization runs them: stopped by progress, with a trail.

    phi(x) = x'(B + lambda I)x / 2 - b'x = -(b + r)'x / 2,      r = b - (B + lambda I) x

The run ends when phi falls too slowly: over the last k = max(10, i / 10) steps by less than a share
k epsilon of what it fell in all. The residual would be the wrong measure, since what is wanted of x
is a low phi. Iterates at steps 1, 2, ..., ceil(1.3^j) are kept, since the loss may be lower at an
earlier one than at the last.

J. Martens, *Deep learning via Hessian-free optimization* (2010), sections 4.4 and 4.6. (`linalg.cg`
solves to a residual that it checks.)

Cost: a product a step, and one more for a start that is not zero. Memory: n numbers for each kept
iterate, about 9 log10(steps), and 5 n.
"""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from thalweg.linalg.products import dot
from thalweg.operators import Operator

SPACING = 1.3
LEAST_WINDOW, WINDOW_SHARE = 10, 0.1


@final
@dataclass(frozen=True, eq=False)
class Iterate:
    """A point on the trail.

    Attributes:
        x: shape (n,).
        steps: that led to it.
        value: phi(x).
        curvature: x'Bx, without the damping.
    """

    x: Tensor
    steps: int
    value: float
    curvature: float


def truncated_cg(
    operator: Operator,
    rhs: Tensor,
    *,
    damping: float,
    start: Tensor | None = None,
    progress: float = 5e-4,
    max_steps: int = 250,
) -> tuple[Iterate, ...]:
    """The kept iterates for (B + damping I) x = rhs, the last one at the end; the start is none.

    Args:
        operator: B. Where a curvature along the way is not positive, the run ends before.
        rhs: b, shape (n,).
        damping: lambda, at least 0.
        start: where to start, shape (n,); None for zero.
        progress: epsilon, the share of phi for each step of the window.
        max_steps: at most so many.
    """
    x = torch.zeros_like(rhs) if start is None else start
    r = rhs if start is None else rhs - damped_product(operator, x, damping)
    p, rr, values, kept = r, dot(r, r), [phi(rhs, r, x)], list[Iterate]()
    least = dot(rhs, rhs) * torch.finfo(operator.dtype).eps ** 2
    while len(values) <= max_steps and rr > least and not is_slow(values, progress):
        q = damped_product(operator, p, damping)
        curvature = dot(p, q)
        if not curvature > 0:
            break
        x, r = x + rr / curvature * p, r - rr / curvature * q
        rr, before = dot(r, r), rr
        p = r + rr / before * p
        values.append(phi(rhs, r, x))
        kept = [*(k for k in kept if is_marked(k.steps)), iterate(rhs, r, x, damping, values)]
    return tuple(kept)


def damped_product(operator: Operator, vector: Tensor, damping: float) -> Tensor:
    """(B + lambda I) v."""
    return (operator @ vector) + damping * vector


def phi(rhs: Tensor, r: Tensor, x: Tensor) -> float:
    """phi(x) for the residual r at x."""
    return -(dot(rhs, x) + dot(r, x)) / 2


def iterate(rhs: Tensor, r: Tensor, x: Tensor, damping: float, values: list[float]) -> Iterate:
    """The iterate x, whose phi is the last of `values`."""
    curvature = dot(rhs, x) - dot(r, x) - damping * dot(x, x)
    return Iterate(x, len(values) - 1, values[-1], curvature)


def is_slow(values: list[float], progress: float) -> bool:
    """Whether phi, whose values from the start on are given, falls too slowly to go on."""
    steps = len(values) - 1
    window = max(LEAST_WINDOW, math.ceil(WINDOW_SHARE * steps))
    if steps <= window or values[-1] >= 0:
        return False
    return (values[-1] - values[-1 - window]) / values[-1] < window * progress


def is_marked(steps: int) -> bool:
    """Whether `steps` is ceil(1.3^j) for some j."""
    return steps == math.ceil(SPACING ** math.floor(math.log(steps) / math.log(SPACING) + 1e-9))
