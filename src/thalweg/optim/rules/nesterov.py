r"""Nesterov's accelerated gradient, in its look-ahead form.

Idea: momentum will carry the point on in any case; so ask for the gradient where it will carry it,
and correct from there.

Formula:

    g <- gradient at p = x + c d           the look-ahead point
    d <- c d - lr g
    x <- x + d                             x: the point, d: its last move, c = momentum

The parameter that the model holds is the look-ahead point p, as that is where the gradient is
asked for; x is kept in the state, as `iterate`. Written so, d is not needed:

    x' = p - lr g
    p <- x' + c (x' - x),  x <- x'

Why: for smooth convex losses and c growing to one the error falls like 1 / t^2, which no method of
first order can better; for curvatures between l and L, with c = (1 - q) / (1 + q) and
q = sqrt(l / L), it falls by 1 - q a step, without heavy ball's overshoot.

When: smooth losses and little noise; large batches. Read the result at `iterate`
(`with averaged(optimizer):`), which is behind the look-ahead point and better.

Convention: with a constant lr, p goes the way of `sgd(nesterov=True)`, which is the same written
in p alone (the shifted form; a test follows both). Here lr stands inside the velocity: with a
changing lr, p goes the way of Keras's SGD(nesterov=True) and PyTorch's does not.

Reference: Nesterov (1983), scheme (4); Sutskever, Martens, Dahl & Hinton (2013), eqs. 3-4; Bengio,
Boulanger-Lewandowski & Pascanu (2013), eqs. 6-7, for the shifted form.
"""

from dataclasses import replace

from torch import add, clone

from thalweg.optim.rule import rule, slot


@rule("pointwise", "odd", "rotation-equivariant")
def nesterov(p, g, x=slot("iterate", clone), *, lr=1e-3, momentum=0.9):  # type: ignore[no-untyped-def]
    """One step of Nesterov's method, from look-ahead point to look-ahead point."""
    new_x = add(p, g, alpha=-lr)  # x + d
    return new_x + momentum * (new_x - x), new_x


nesterov = replace(nesterov, average=lambda p, state, hyper: state["iterate"])
