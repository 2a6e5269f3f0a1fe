r"""What the risk of a surrogate says of the 0-1 risk.

At a point where the class is +1 with probability eta, predicting f costs on average

    C(f) = eta phi(f) + (1 - eta) phi(-f)

and phi is calibrated if a wrong sign of f always costs more than the best f. For a convex phi that
is so if and only if phi has a derivative at 0 and falls there. Then, with the psi-transform

    psi(theta) = phi(0) - inf_f C(f)    at    eta = (1 + theta) / 2,

psi(R(f) - R*) <= R_phi(f) - R_phi*: what is left to gain in the surrogate bounds what is left to
gain in the 0-1 risk.

Reference: Bartlett, Jordan & McAuliffe (2006), JASA 101, definition 2, theorems 1 and 2, lemma 2.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Phi = Callable[[Tensor], Tensor]

WIDEST = 60.0  # outputs beyond change no loss here: e^-60 is below rounding
HALVINGS = 200  # of an interval by the golden ratio, to rounding and beyond
GOLDEN = (5**0.5 - 1) / 2


def is_calibrated(phi: Phi) -> bool:
    """Whether a convex phi is calibrated: it has a derivative at 0, which is negative.

    Args:
        phi: from margins to losses, elementwise, convex, made of torch's functions.

    Raises:
        ValueError: phi is not convex on [-3, 3], so that this is no answer.
    """
    grid = torch.linspace(-3, 3, 601, dtype=torch.float64)
    values = phi(grid)
    if (values[:-2] - 2 * values[1:-1] + values[2:]).min() < -1e-9 * values.abs().max():
        raise ValueError(
            "is_calibrated(phi): phi is not convex, and for others this does not tell."
        )
    at, h = torch.zeros((), dtype=torch.float64), 1e-7
    left, right = (phi(at) - phi(at - h)) / h, (phi(at + h) - phi(at)) / h
    # The one-sided slopes of a smooth function differ by h times its second derivative.
    return bool(right < -1e-6) and bool((right - left).abs() < 1e-4 * (1 + left.abs()))


def calibration_transform(phi: Phi, theta: Tensor) -> Tensor:
    """The psi-transform of a convex, calibrated phi, by minimizing C numerically.

    Args:
        phi: from margins to losses, elementwise, convex.
        theta: in [0, 1], of any shape; float64 for twelve digits.

    Raises:
        ValueError: a theta outside [0, 1].
    """
    if bool(((theta < 0) | (theta > 1)).any()):
        raise ValueError("calibration_transform(phi, theta): theta is a difference of risks, 0..1.")
    eta = (1 + theta) / 2

    def cost(f: Tensor) -> Tensor:
        return eta * phi(f) + (1 - eta) * phi(-f)

    low, high = torch.full_like(theta, -WIDEST), torch.full_like(theta, WIDEST)
    for _ in range(HALVINGS):
        width = GOLDEN * (high - low)
        a, b = high - width, low + width
        is_left = cost(a) < cost(b)
        low, high = torch.where(is_left, low, a), torch.where(is_left, b, high)
    return phi(torch.zeros_like(theta)) - cost((low + high) / 2)


def bound_on_excess(psi: Phi, excess: float) -> float:
    """The largest excess 0-1 risk that an excess surrogate risk allows: psi(theta) = excess.

    Args:
        psi: increasing on [0, 1], as `MarginLoss.psi`.
        excess: R_phi(f) - R_phi*, not negative.

    Raises:
        ValueError: it is negative.
    """
    if excess < 0:
        raise ValueError(f"bound_on_excess(excess={excess}): an excess is not negative.")
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        is_allowed = float(psi(torch.tensor(middle, dtype=torch.float64))) <= excess
        low, high = (middle, high) if is_allowed else (low, middle)
    return high
