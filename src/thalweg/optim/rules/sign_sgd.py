r"""signSGD: every coordinate moves by lr, against the sign of its gradient.

Idea: forget the gradient's size and keep one bit of every coordinate. With momentum (Signum), take
the sign of a running average, so that coordinates vote over time.

Formula:

    p <- p - lr sign(g)
    with momentum:  m <- b m + (1 - b) g,  p <- p - lr sign(m)         b = momentum

Why: it is steepest descent when steps are measured by their largest coordinate; one bit a
coordinate is also all that workers need to send. Adam with b1 = b2 = 0 is it.

When: gradients of very different sizes, or dear communication. lr must fall, since steps do not
shrink near a minimum. Lion is Signum with two decay rates.

Convention: the papers'; the average starts at zero and needs no correction, which would not change
its sign. A zero has sign zero.

Reference: Bernstein et al. (2018), arXiv 1802.04434, algorithms 1 and 2 (signSGD, Signum).
"""

from torch import add, lerp, sign

from thalweg.optim.rule import rule, slot


@rule("pointwise", "odd", "loss-scale-invariant")
def sign_sgd(  # type: ignore[no-untyped-def]
    p, g, m=slot("momentum_buffer", when="momentum"), *, lr=1e-3, momentum=0.0
):
    """One step of signSGD or Signum."""
    m = lerp(m, g, 1 - momentum) if momentum else None
    return add(p, sign(m if momentum else g), alpha=-lr), m
