"""Quadratic bowls: any spectrum, in any rotation.

Near a minimum every smooth loss is one, so what holds here holds at the end of every run. Plain
descent contracts the error along the i-th axis by 1 - lr * lambda_i a step: it is stable for
lr < 2 / lambda_max, fastest at 2 / (lambda_min + lambda_max), and then slowed by the condition
number k = lambda_max / lambda_min to a factor of (k - 1) / (k + 1).

A rotation tells methods that treat each coordinate by itself from those that do not: the bowl is
the same, but its axes are no longer the coordinates.

Reference: Nesterov (2004), *Introductory Lectures on Convex Optimization*, section 2.1; LeCun,
Bottou, Orr & Müller (1998), *Efficient BackProp*, section 5.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from thalweg.landscapes.landscape import Landscape, critical, point


def quadratic(spectrum: Sequence[float] = (1.0, 10.0), *, basis: Tensor | None = None) -> Landscape:
    """A bowl: f(w) = 1/2 sum_i lambda_i (q_i . w)^2, lowest at the origin.

    It starts at the sum of all axes, at a distance of 1 along each.

    Args:
        spectrum: The curvatures lambda_i, none negative. Where one is zero, the bowl is a gutter
            and its minimizers a continuum.
        basis: The axes q_i as the columns of an orthogonal matrix of shape (n, n); the coordinates
            themselves if None.

    Raises:
        ValueError: No curvature, a negative one, or a basis that is not orthogonal.
    """
    curvatures = point(*spectrum)
    q = torch.eye(len(curvatures), dtype=torch.float64) if basis is None else basis.double()
    _check(curvatures, q)

    def loss(w: Tensor) -> Tensor:
        return (curvatures.to(w) * (w @ q.to(w)) ** 2).sum(-1) / 2

    reach = 1.25 * float(q.sum(1).abs().max().clamp(min=1.0))
    return Landscape(
        name="quadratic",
        loss=loss,
        start=q.sum(1),
        domain=((-reach, reach),) * len(curvatures),
        minimum=0.0,
        critical_points=(critical("minimum", torch.zeros_like(curvatures), *spectrum),),
        isolated=bool((curvatures > 0).all()),
    )


def _check(curvatures: Tensor, basis: Tensor) -> None:
    n = len(curvatures)
    if n == 0 or not bool((curvatures >= 0).all()):
        raise ValueError(
            f"quadratic(spectrum={tuple(curvatures.tolist())}): a bowl has one curvature or more, "
            "and none below zero. A saddle is thalweg.landscapes.saddle()."
        )
    identity = torch.eye(n, dtype=torch.float64)
    if basis.shape != (n, n) or not torch.allclose(basis.T @ basis, identity, atol=1e-8):
        raise ValueError(
            f"quadratic(basis=...): the axes of {n} curvatures are the columns of an orthogonal "
            f"matrix of shape ({n}, {n}); got one of shape {tuple(basis.shape)}"
            f"{'' if basis.shape != (n, n) else ' that is not orthogonal'}. "
            "rotation(angle) and random_basis(n, seed) make such matrices."
        )


def ravine(condition: float = 25.0, angle: float = math.pi / 6) -> Landscape:
    """A long valley with steep walls: curvature 1 along it, `condition` across.

    Args:
        condition: The condition number k, at least 1.
        angle: Of the valley's floor against the first coordinate, in radians.

    Raises:
        ValueError: `condition` is below 1.
    """
    if condition < 1:
        raise ValueError(
            f"ravine(condition={condition}): the condition number is the largest curvature over "
            "the smallest, so it is at least 1."
        )
    bowl = quadratic((1.0, condition), basis=rotation(angle))
    return Landscape(
        name="ravine",
        loss=bowl.loss,
        start=bowl.start,
        domain=bowl.domain,
        minimum=bowl.minimum,
        critical_points=bowl.critical_points,
    )


def rotation(angle: float) -> Tensor:
    """The plane turned by `angle` radians: an orthogonal matrix of shape (2, 2)."""
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c, -s], [s, c]], dtype=torch.float64)


def random_basis(n: int, seed: int = 0) -> Tensor:
    """An orthogonal matrix of shape (n, n), uniform among all (Stewart 1980)."""
    source = torch.Generator().manual_seed(seed)
    q, r = torch.linalg.qr(torch.randn(n, n, generator=source, dtype=torch.float64))
    signed: Tensor = q * r.diagonal().sign()
    return signed
