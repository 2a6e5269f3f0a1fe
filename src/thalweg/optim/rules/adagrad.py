r"""AdaGrad: the learning rate divided by the root of all squared gradients so far.

Idea: a coordinate that has seen large or many gradients takes small steps, one that has seen few
takes large ones. What is rare keeps its influence.

Formula:

    s <- s + g^2                           from s = initial_accumulator_value
    p <- p - lr_t g / (sqrt(s) + eps)      lr_t = lr / (1 + (t - 1) lr_decay)

Why: for convex losses with sparse gradients the regret is within a constant of that of the best
fixed learning rate for each coordinate, chosen in hindsight. The rates fall like 1 / sqrt(t) by
themselves.

When: sparse features (words, categories, clicks), convex problems. On deep networks the rates fall
too soon, because the sum remembers the first steps for ever: RMSprop and Adam forget them.

Convention: PyTorch's, operation by operation: eps outside the root, the sum starts at zero, and the
rate may fall in addition (lr_decay). `eps_placement="inside"` divides by sqrt(s + eps), as optax
does, which also starts the sum at 0.1, as TensorFlow does
(`initial_accumulator_value=0.1`). The courses write eps outside, or none. State starts with a
parameter's first gradient, PyTorch's at construction; so a parameter that had none when its
optimizer's state was handed to PyTorch starts there from the value given at construction.

Reference: Duchi, Hazan & Singer (2011), figure 1 with a diagonal matrix.
"""

from torch import addcdiv, addcmul, sqrt

from thalweg.optim.hyperparameters import GLOSSARY, define
from thalweg.optim.rule import rule, slot
from thalweg.optim.starts import filled

define(
    "lr_decay", "how fast the learning rate falls with the steps", ">= 0", lambda x: bool(x >= 0)
)


def _start(p, *, initial_accumulator_value):  # type: ignore[no-untyped-def]
    return filled(p, initial_accumulator_value)


@rule(
    "pointwise", "odd", "loss-scale-invariant",
    terms=[GLOSSARY["eps_placement"].among("outside", "inside")], rows=lambda hyper: True,
)  # fmt: skip
def adagrad(  # type: ignore[no-untyped-def]
    p, g, s=slot("sum", _start),
    *, t, lr=1e-2, lr_decay=0.0, initial_accumulator_value=0.0, eps=1e-10,
    eps_placement="outside",
):  # fmt: skip
    """One step of AdaGrad."""
    s = addcmul(s, g, g)  # s + g^2
    root = sqrt(s + eps) if eps_placement == "inside" else sqrt(s) + eps
    return addcdiv(p, g, root, value=-lr / (1 + (t - 1) * lr_decay)), s
