r"""RMSprop: the gradient divided by the root of a running average of its square.

Idea: AdaGrad with a memory that fades. Rprop looks at the gradient's sign only and needs full
batches; dividing by a running root mean square is its version for minibatches.

Formula:

    s <- a s + (1 - a) g^2                 a = alpha, from s = initial_accumulator_value
    p <- p - lr g / (sqrt(s) + eps)

With `centered`, s is replaced under the root by the running variance s - m^2, where
m <- a m + (1 - a) g. With `momentum`,

    b <- mu b + g / (sqrt(s) + eps)        p <- p - lr b

Why: a step's size does not depend on the loss's scale, and the rate of a coordinate recovers when
its gradients become small, which AdaGrad's never does.

When: recurrent networks and reinforcement learning, where gradients drift; elsewhere Adam, which
adds momentum and the correction of the averages' start.

Convention: PyTorch's, operation by operation: eps outside the root, no bias correction, the
learning rate outside the momentum, s from zero, a = 0.99 (Hinton: 0.9). Named options:
`eps_placement="inside"` divides by sqrt(s + eps), as the courses write it (with eps = 1e-6) and as
TensorFlow and optax do; `lr_inside_momentum` puts lr into b, as TensorFlow does;
`initial_accumulator_value=1` is TensorFlow's start; `bias_correction` divides s (and m) by 1 - a^t,
as optax can. So TensorFlow's RMSprop is alpha=0.9, eps=1e-10, eps_placement="inside",
initial_accumulator_value=1, lr_inside_momentum=True. A variance that rounding makes negative gives
NaN, as in PyTorch; eps inside the root prevents it.

Reference: Tieleman & Hinton (2012), lecture 6.5; Graves (2013), eqs. 38-45 for the centered form.
"""

from collections.abc import Mapping
from typing import Any

from torch import add, addcdiv, addcmul, lerp, sqrt

from thalweg.optim.hyperparameters import GLOSSARY, define
from thalweg.optim.rule import rule, slot
from thalweg.optim.starts import filled

define("centered", "divide by the deviation instead of the size", switch=True)


def _first_variance_is_zero(hyper: Mapping[str, Any]) -> None:
    outside = hyper["eps_placement"] == "outside"
    if hyper["centered"] and hyper["bias_correction"] and outside:
        raise ValueError(
            "bias_correction=True with centered=True makes the first step's variance zero and that "
            'step g / eps. Set eps_placement="inside", or leave one of the two out.'
        )


def _start(p, *, initial_accumulator_value):  # type: ignore[no-untyped-def]
    return filled(p, initial_accumulator_value)


@rule(
    "pointwise", "odd", "loss-scale-invariant", check=_first_variance_is_zero,
    terms=[GLOSSARY["eps_placement"].among("outside", "inside")],
)  # fmt: skip
def rmsprop(  # type: ignore[no-untyped-def]
    p, g, s=slot("square_avg", _start), m=slot("grad_avg", when="centered"),
    b=slot("momentum_buffer", when="momentum"),
    *, t, lr=1e-2, alpha=0.99, eps=1e-8, momentum=0.0, centered=False, eps_placement="outside",
    initial_accumulator_value=0.0, lr_inside_momentum=False, bias_correction=False,
):  # fmt: skip
    """One step of RMSprop."""
    missing = 1 - alpha**t if bias_correction else 1.0  # what the averages lack
    s = addcmul(alpha * s, g, g, value=1 - alpha)  # a s + (1 - a) g^2
    m = lerp(m, g, 1 - alpha) if centered else None
    square = s / missing if bias_correction else s
    square = addcmul(square, m, m, value=-1 / missing**2) if centered else square
    root = sqrt(square + eps) if eps_placement == "inside" else sqrt(square) + eps
    if not momentum:
        return addcdiv(p, g, root, value=-lr), s, m, None
    b = addcdiv(momentum * b, g, root, value=lr if lr_inside_momentum else 1)
    return add(p, b, alpha=-1 if lr_inside_momentum else -lr), s, m, b
