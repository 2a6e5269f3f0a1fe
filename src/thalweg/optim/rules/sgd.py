r"""Stochastic gradient descent, with momentum.

Idea: step against the gradient. With momentum, keep a running sum of past gradients and step
along that: directions that persist add up, directions that alternate cancel.

Formula:

    b <- mu b + (1 - tau) g          the buffer; at the first step b = g
    p <- p - lr b                    or, with Nesterov's look-ahead, p - lr (g + mu b)

with mu = momentum and tau = dampening. Without momentum, p <- p - lr g.

Why: on a quadratic with curvatures between l and L, plain descent needs a number of steps in
proportion to L / l, momentum in proportion to its square root. Plain descent is stable for
lr < 2 / L, with momentum for lr < (2 + 2 mu) / L.

When: the default for convolutional networks on images, with momentum 0.9, a schedule and a rate
searched for; where memory is short, for it keeps one tensor or none; and wherever a theory is to be
checked. It needs curvatures and gradient sizes that are alike across layers: normalized inputs and
layers, or a rate for each group of parameters.

Convention: PyTorch's. The learning rate stands outside the buffer, so that a change of lr acts at
once on all that has been gathered (Sutskever et al. put it inside: the same for a constant lr);
and the first gradient enters the buffer undamped.

Reference: Robbins & Monro (1951); Polyak (1964), eq. 9; Nesterov (1983); Sutskever, Martens, Dahl
& Hinton (2013), eqs. 1-4.
"""

from collections.abc import Mapping
from typing import Any

from torch import add

from thalweg.optim.rule import rule, slot


def _nesterov_needs_momentum(hyper: Mapping[str, Any]) -> None:
    if hyper["nesterov"] and (hyper["momentum"] <= 0 or hyper["dampening"] != 0):
        raise ValueError(
            "Nesterov momentum requires a momentum and zero dampening; "
            f"got momentum={hyper['momentum']}, dampening={hyper['dampening']}. "
            "Set momentum=0.9, dampening=0, or nesterov=False."
        )


@rule(
    "pointwise", "odd", "rotation-equivariant",
    check=_nesterov_needs_momentum, rows=lambda hyper: not hyper["momentum"],
)  # fmt: skip
def sgd(  # type: ignore[no-untyped-def]
    p, g, b=slot("momentum_buffer", None, when="momentum"),
    *, lr=1e-3, momentum=0.0, dampening=0.0, nesterov=False,
):  # fmt: skip
    """One step of gradient descent."""
    if not momentum:
        return add(p, g, alpha=-lr), None
    b = g if b is None else add(momentum * b, g, alpha=1 - dampening)
    d = add(g, b, alpha=momentum) if nesterov else b
    return add(p, d, alpha=-lr), b
