"""How a trust region's radius follows what the loss makes of the model's promises.

    rho = (f(x) - f(x + d)) / -m(d)

    rho < 1/4                       radius <- |d| / 4
    rho > 3/4 and |d| = radius      radius <- 2 radius
    else                            as it is;   the step is taken where rho > 1e-4

J. Nocedal & S. Wright, *Numerical Optimization* (2006), algorithm 4.1. Near a minimum both parts
of rho are below the loss's rounding; adding that to both lets rho go to 1 there instead of to
noise (A. Conn, N. Gould & P. Toint, *Trust-Region Methods* (2000), section 17.4.2).
"""

import math

from torch import Tensor

from thalweg.linalg.products import Shifted, dot, length
from thalweg.minimize.contract import TrialStep
from thalweg.minimize.searches.trials import ROUNDING_UNITS
from thalweg.operators import Operator

ACCEPTED = 1e-4
POOR, GOOD = 0.25, 0.75
SHRINK, GROW = 0.25, 2.0


def reduction_ratio(before: float, after: float, promised: float, eps: float) -> float:
    """rho: the loss's decrease, relative to the model's.

    Args:
        before: the loss at the place, finite.
        after: the loss after the step; minus infinity is returned where it is not finite.
        promised: the model's decrease, at least 0.
        eps: unit of rounding of the loss.
    """
    noise = ROUNDING_UNITS * eps * abs(before)
    if not math.isfinite(after) or promised + noise <= 0:
        return -math.inf
    return (before - after + noise) / (promised + noise)


def is_accepted(ratio: float) -> bool:
    """Whether a step of this ratio is taken."""
    return ratio > ACCEPTED


def next_radius(radius: float, ratio: float, trial: TrialStep, longest: float = math.inf) -> float:
    """The radius for the next step, whether this one is taken or not; at most `longest`."""
    if not ratio >= POOR:
        return SHRINK * min(radius, length(trial.vector) or radius)
    if ratio > GOOD and trial.on_boundary:
        return min(GROW * radius, longest)
    return radius


def first_radius(model: Operator, gradient: Tensor, otherwise: float = 1.0) -> float:
    """|g| / |u'Bu|, u = g / |g|: how far the model says that the gradient lasts.

    It does not depend on the loss's scale, and is in the parameters' units. `otherwise` where that
    is no positive number. Costs a product.
    """
    size = length(gradient)
    if not 0 < size < math.inf:
        return otherwise
    unit = gradient / size
    curvature = abs(dot(unit, Shifted(model, 0.0).forward(unit)))
    radius = size / curvature if curvature else math.inf
    return radius if 0 < radius < math.inf else otherwise
