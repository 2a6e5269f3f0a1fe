r"""How damping follows the reduction ratio rho of `directions.quadratic_model`.

Levenberg and Marquardt's rule, as J. Martens gives it (*Deep learning via Hessian-free
optimization*, 2010, section 4.1) with a factor of 2/3:

    rho > 3/4:  lambda <- factor lambda          rho < 1/4:  lambda <- lambda / factor

It stops falling at a millionth of the model's curvature along the step, d'Bd / d'd: less would
change no step, and after a long good run would take as long to come back.

H. Nielsen's (*Damping parameter in Marquardt's method*, IMM-REP-1999-05) has no jump at a
threshold, and grows ever faster while steps are refused:

    rho > 0:    lambda <- lambda max(1/3, 1 - (2 rho - 1)^3),   nu <- 2
    else:       lambda <- nu lambda,                            nu <- 2 nu
"""

from typing import NamedTuple

from torch import Tensor

from thalweg.minimize.directions.quadratic_model import curvature_along
from thalweg.operators import Operator

# A model is good where it promised what came, and poor where it promised four times as much.
GOOD, POOR = 0.75, 0.25
LEAST_SHARE = 1e-6


def thresholds(damping: float, ratio: float, bend: float, factor: float = 2 / 3) -> float:
    """The next damping by Levenberg and Marquardt's rule.

    Args:
        damping: lambda; 0 stays 0.
        ratio: rho; one that is no number is poor.
        bend: d'Bd / d'd.
        factor: below 1.
    """
    if ratio > GOOD:
        return max(damping * factor, min(damping, LEAST_SHARE * bend))
    return damping if ratio >= POOR else damping / factor


class Nielsen(NamedTuple):
    """The damping and what it grows by when a step is refused."""

    damping: float
    growth: float = 2.0

    def after(self, ratio: float) -> "Nielsen":
        """The next; a ratio that is no number is a refusal."""
        if ratio > 0:
            return Nielsen(self.damping * max(1 / 3, 1 - (2 * ratio - 1) ** 3))
        return Nielsen(self.damping * self.growth, 2 * self.growth)


def first_damping(model: Operator, gradient: Tensor, share: float) -> float:
    """`share` of the model's curvature along the gradient, for one product.

    It has the model's units, so that a loss in other units is damped alike. The gradient lies
    mostly where the curvature is large.
    """
    return share * max(curvature_along(model, gradient), 0.0)
