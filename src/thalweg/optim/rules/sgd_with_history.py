r"""Stochastic gradient descent with one step of history.

Idea: a minibatch's gradient is often wrong, and two of them are less so: step along the present
gradient and, with a rate of its own, along the one before.

Formula:

    p <- p - (lr g + tau g_prev)           tau = history; at the first step g_prev = 0

Why: it halves the noise of the direction, at best, and is the first step on the way to momentum,
which remembers all past gradients with fading weight.

When: to see what a memory of one step does. Otherwise use momentum.

Convention: as taught, tau is a rate by itself and is not multiplied by lr: a schedule for lr leaves
it alone.

Reference: Soto, lecture on optimization for deep learning, "SGD + History".
"""

from torch import add

from thalweg.optim.hyperparameters import define
from thalweg.optim.rule import rule, slot

define("history", "the rate at which the gradient before acts once more", "a number")


@rule("pointwise", "odd", "rotation-equivariant")
def sgd_with_history(  # type: ignore[no-untyped-def]
    p, g, before=slot("previous_grad"), *, lr=1e-3, history=5e-4
):
    """One step of descent along two gradients."""
    return add(add(p, g, alpha=-lr), before, alpha=-history), g
