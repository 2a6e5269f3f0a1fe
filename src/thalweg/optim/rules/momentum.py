r"""Momentum with the learning rate inside the velocity, as it is taught.

Idea: let the last step go on, a little shortened, and add to it. Directions that persist add up;
directions that alternate cancel.

Formula:

    d <- c d - lr g                        c = momentum
    p <- p + d

Why: on a quadratic with curvatures between l and L the number of steps falls from L / l to its
square root. With a constant gradient the steps grow until they are lr / (1 - c) long.

When: as `sgd` with momentum, of which it is the other form. With a learning rate that changes, this
one acts on the gradients to come, and what has been gathered runs on at its old rate: a warm-up or
a drop is felt over 1 / (1 - c) steps.

Convention: for a constant lr it is PyTorch's `sgd` (d = -lr b); after lr is halved the two differ.
This form is Farkas's slide, Sutskever et al.'s, Caffe's and Keras's; PyTorch's is Soto's slide.
For the look-ahead of Nesterov in this form see `nesterov`.

Reference: Polyak (1964), eq. 9; Rumelhart, Hinton & Williams (1986), eq. 9; Sutskever, Martens,
Dahl & Hinton (2013), eqs. 1-2.
"""

from torch import add

from thalweg.optim.rule import rule, slot


@rule("pointwise", "odd", "rotation-equivariant")
def momentum(p, g, d=slot("velocity"), *, lr=1e-3, momentum=0.9):  # type: ignore[no-untyped-def]
    """One step of momentum."""
    d = add(momentum * d, g, alpha=-lr)
    return p + d, d
