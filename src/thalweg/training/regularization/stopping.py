"""Early stopping as L2 regularization: how strong a penalty so many steps amount to.

On a quadratic with the minimizer w*, gradient descent from zero has, after tau steps at the rate
eta, gone the share 1 - (1 - eta lambda)^tau of the way along a direction of curvature lambda. The
minimizer of the same loss with the penalty alpha / 2 |w|^2 lies at the share lambda / (lambda +
alpha). They agree if

    alpha = lambda / ((1 - eta lambda)^-tau - 1)        -> 1 / (eta tau) as lambda -> 0

So few steps act like a strong penalty, and the curvatures that matter to it, those well below
1 / (eta tau), have nearly one alpha for all.

Reference: Goodfellow, Bengio & Courville, *Deep Learning*, section 7.8, equations 7.33 to 7.45.
"""

import math


def equivalent_decay(lr: float, steps: int, curvature: float = 0.0) -> float:
    """The alpha of the penalty alpha / 2 |w|^2 that stopping after `steps` amounts to.

    Args:
        lr: the learning rate eta of plain gradient descent, above 0.
        steps: how many steps tau from zero, at least 1.
        curvature: lambda, the eigenvalue of the Hessian that is asked about; 0 is the limit of
            small ones, 1 / (eta tau).

    Raises:
        ValueError: a rate that is not positive, no step, or lr * curvature outside [0, 1), where
            descent does not approach the minimum from one side.
    """
    if lr <= 0 or steps < 1 or not 0 <= lr * curvature < 1:
        raise ValueError(
            f"equivalent_decay(lr={lr}, steps={steps}, curvature={curvature}): give a rate above "
            "0, at least one step, and a curvature from 0 to below 1 / lr."
        )
    if not curvature:
        return 1 / (lr * steps)
    passed = -steps * math.log1p(-lr * curvature)
    return curvature / math.expm1(passed) if passed < 700 else 0.0  # all the way: no penalty
