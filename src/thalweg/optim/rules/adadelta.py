r"""AdaDelta: steps measured by earlier steps, so that no learning rate is needed.

Idea: a gradient over a root mean square of gradients has no unit, but a step must have the unit of
the parameter. So multiply by the root mean square of past steps, which has it.

Formula:

    s <- rho s + (1 - rho) g^2
    d  = sqrt((x + eps) / (s + eps)) g
    x <- rho x + (1 - rho) d^2
    p <- p - lr d                          lr = 1: no learning rate

Why: the step is invariant to the scale of the loss and follows the scale of the parameter, as
Newton's does: |step| / |gradient| estimates the inverse curvature. eps sets the size of the first
steps, sqrt(eps / (1 - rho)), from which they grow.

When: one has no idea of a learning rate, and time for its slow start. Else Adam or Prodigy.

Convention: the paper's and PyTorch's, operation by operation; eps in both roots. rho is PyTorch's
0.9, Zeiler's is 0.95. The learning rate, a factor of the whole step, is PyTorch's addition; the
average x is of d, without it.

Reference: Zeiler (2012), arXiv 1212.5701, algorithm 1.
"""

from torch import add, addcmul, sqrt

from thalweg.optim.hyperparameters import define
from thalweg.optim.rule import rule, slot

define(
    "rho",
    "how much of the running averages of squares is kept",
    "a number in [0, 1]",
    lambda x: bool(0 <= x <= 1),
)


@rule("pointwise", "odd", "loss-scale-invariant")
def adadelta(  # type: ignore[no-untyped-def]
    p, g, s=slot("square_avg"), x=slot("acc_delta"), *, t, lr=1.0, rho=0.9, eps=1e-6
):
    """One step of AdaDelta."""
    s = addcmul(rho * s, g, g, value=1 - rho)  # rho s + (1 - rho) g^2
    d = sqrt(x + eps) / sqrt(s + eps) * g
    x = addcmul(rho * x, d, d, value=1 - rho)  # rho x + (1 - rho) d^2
    return add(p, d, alpha=-lr), s, x
