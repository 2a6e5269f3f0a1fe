"""Cliffs: where the gradient leaps by orders of magnitude from one step to the next.

A step scaled to the plain is far too long on a wall and throws the parameters away. Cliffs come
from products of many weights, as in recurrent networks, which multiply by the same weight again
and again.

Reference: Pascanu, Mikolov & Bengio (2013), arXiv 1211.5063, section 2.3 and figure 6; Goodfellow,
Bengio & Courville (2016), *Deep Learning*, section 8.2.4.
"""

import math

import torch
from torch import Tensor

from thalweg.landscapes.landscape import Landscape, critical, point


def cliff(
    edge: float = 1.0, width: float = 0.1, height: float = 5.0, slope: float = 0.5
) -> Landscape:
    """A wall in a gentle bowl: f(x, y) = slope (x^2 + y^2) / 2 + height s((x - edge) / width).

    s(u) = u^3 (10 - 15 u + 6 u^2) climbs from 0 at u = 0 to 1 at u = 1 and is constant outside, so
    the bowl is exact on both sides. The wall is steepest in its middle, where it adds
    15 height / (8 width) to the derivative by x (94, against 0.6 of the bowl at the edge). The run
    starts above the wall.

    Args:
        edge: Where the wall begins, above zero.
        width: How far it reaches, above zero.
        height: How high it is, above zero.
        slope: The curvature of the bowl, above zero.

    Raises:
        ValueError: One of them is not above zero.
    """
    given = {"edge": edge, "width": width, "height": height, "slope": slope}
    for name, value in given.items():
        if value <= 0:
            raise ValueError(f"cliff({name}={value}): {name} must be above zero.")

    def loss(w: Tensor) -> Tensor:
        x, y = w.unbind(-1)
        u = ((x - edge) / width).clamp(0, 1)
        return slope * (x**2 + y**2) / 2 + height * u**3 * (10 - 15 * u + 6 * u**2)

    top = edge + width
    return Landscape(
        name="cliff",
        loss=loss,
        start=point(top + 1.0, 1.0),
        domain=((-top - 1.5, top + 1.5), (-2.0, 2.0)),
        minimum=0.0,
        critical_points=(critical("minimum", point(0.0, 0.0), slope, slope),),
    )


def recurrent_cliff(steps: int = 50, target: float = 0.7, state: float = 0.5) -> Landscape:
    """One recurrent unit with a target: f(w, b) = (sigmoid(x_T) - target)^2.

    x_t = w sigmoid(x_(t-1)) + b, from x_0 = `state`. With w = 0 the unit forgets its past, so
    (0, logit(target)) is a minimizer; it belongs to a curve of minimizers. There the residual has
    the gradient target (1 - target) (target, 1), hence curvatures 0 and
    2 target^2 (1 - target)^2 (target^2 + 1).

    The cliff stands where the unit starts at a fixed point that repels: on the line
    b = state - w sigmoid(state), for weights with k = w sigmoid'(state) above 1 (above 4.26 for a
    state of 1/2). To its two sides the unit ends in different states, and on it the derivative of
    x_T by b is 1 + k + ... + k^(T - 1).

    Args:
        steps: T, at least 2.
        target: Between 0 and 1.
        state: The unit's state at the start.

    Raises:
        ValueError: Fewer than two steps, or a target that a sigmoid cannot reach.
    """
    if steps < 2 or not 0 < target < 1:
        raise ValueError(
            f"recurrent_cliff(steps={steps}, target={target}): it needs two steps or more and a "
            "target between 0 and 1."
        )

    def loss(w: Tensor) -> Tensor:
        weight, bias = w.unbind(-1)
        x = torch.full_like(weight, state)
        for _ in range(steps):
            x = weight * torch.sigmoid(x) + bias
        return (torch.sigmoid(x) - target) ** 2

    forgetful = point(0.0, math.log(target / (1 - target)))
    curvature = 2 * (target * (1 - target)) ** 2 * (target**2 + 1)
    return Landscape(
        name="recurrent-cliff",
        loss=loss,
        start=point(5.5, -1.5),
        domain=((-1.0, 7.0), (-4.0, 2.0)),
        minimum=0.0,
        critical_points=(critical("minimum", forgetful, 0.0, curvature),),
        isolated=False,
    )
