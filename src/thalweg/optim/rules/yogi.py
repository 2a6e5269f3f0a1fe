r"""Yogi: Adam whose second moment changes by no more than the newest square.

Idea: Adam's v forgets by a factor: after large gradients come small ones, v collapses and the steps
blow up. Let v move towards g^2 by an amount that depends on g^2 alone, not on how far away v is.

Formula:

    m <- b1 m + (1 - b1) g
    v <- v - (1 - b2) sign(v - g^2) g^2    (Adam: v - (1 - b2) (v - g^2))
    p <- p - lr m / (sqrt(v) + eps)

Why: the effective learning rate lr / sqrt(v) grows slowly and under control, so that rare gradients
are not followed by too large steps; Adam's known counterexamples of non-convergence do not hold.

When: sparse or very uneven gradients, where Adam is unstable. With a larger eps than Adam's, 1e-3.

Convention: `convention="paper"` is Zaheer et al.'s: no bias correction. v starts at
`initial_accumulator_value`, 0 as in the algorithm; their experiments, TensorFlow's addon and optax
take 1e-6. `convention="optax"` divides m and v by 1 - b^t and starts m, too, at
`initial_accumulator_value`, as optax, jettify's and kozistr's libraries do; the first makes early
steps larger than the paper's, the second is most likely a slip. The taught formula is the paper's.

Reference: Zaheer, Reddi, Sachan, Kale & Kumar (2018), algorithm 2.
"""

from typing import Any

from torch import Tensor, addcdiv, lerp, sign, sqrt, zeros_like

from thalweg.optim.hyperparameters import GLOSSARY
from thalweg.optim.rule import rule, slot
from thalweg.optim.starts import filled


def _start_m(p: Tensor, *, convention: str, initial_accumulator_value: Any) -> Tensor:
    return filled(p, initial_accumulator_value) if convention == "optax" else zeros_like(p)


def _start_v(p: Tensor, *, initial_accumulator_value: Any) -> Tensor:
    return filled(p, initial_accumulator_value)


@rule("pointwise", "odd", "loss-scale-invariant",
      terms=[GLOSSARY["convention"].among("paper", "optax")])  # fmt: skip
def yogi(  # type: ignore[no-untyped-def]
    p, g, m=slot("exp_avg", _start_m), v=slot("exp_avg_sq", _start_v),
    *, t, lr=1e-2, betas=(0.9, 0.999), eps=1e-3, initial_accumulator_value=0.0, convention="paper",
):  # fmt: skip
    """One step of Yogi."""
    b1, b2 = betas
    square = g * g
    m = lerp(m, g, 1 - b1)  # b1 m + (1 - b1) g
    v = v - (1 - b2) * (sign(v - square) * square)
    if convention == "paper":
        return addcdiv(p, m, sqrt(v) + eps, value=-lr), m, v
    root = sqrt(v / (1 - b2**t)) + eps
    return addcdiv(p, m, root, value=-lr / (1 - b1**t)), m, v
