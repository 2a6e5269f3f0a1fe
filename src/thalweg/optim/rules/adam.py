r"""Adam: adaptive moment estimation.

Idea: give every coordinate its own step. Keep a running average of the gradient and one of its
square, and divide the first by the root of the second: a coordinate whose gradient keeps its sign
moves by about lr a step, whatever the gradient's size, and one whose gradient is mostly noise
moves little.

Formula:

    m <- b1 m + (1 - b1) g                 v <- b2 v + (1 - b2) g^2
    p <- p - lr m_hat / (sqrt(v_hat) + eps)
    m_hat = m / (1 - b1^t)                 v_hat = v / (1 - b2^t)

with (b1, b2) = betas and t the parameter's own count of steps. The divisions by 1 - b^t undo the
start of m and v at zero. With `amsgrad`, v_hat takes the largest v so far.

Why: the step does not depend on the loss's scale, and little on how the coordinates are scaled
against each other, so that one learning rate fits layers of very different gradients. It is stable
where the curvature preconditioned by 1 / (sqrt(v_hat) + eps) stays below 38 / lr (b1 = 0.9; Cohen
et al. 2022).

When: the first choice for transformers and recurrent networks, for sparse or noisy gradients, and
for a model whose layers' gradients differ by orders of magnitude; it often works at its default
rate. With weight decay, take AdamW.

Convention: PyTorch's, operation by operation, so that a run can pass from one library to the other
without a bit of difference. Where others differ, they are named options. `eps_placement`:
"outside", sqrt(v_hat) + eps, is algorithm 1's, the courses' and PyTorch's; "inside",
sqrt(v_hat + eps), is optax's eps_root; "uncorrected", (sqrt(v) + eps) / sqrt(1 - b2^t), is the
paper's "epsilon hat" and TensorFlow's; "floor", max(sqrt(v_hat), eps), is heavyball's.
`amsgrad_convention`: "torch" takes the maximum over the uncorrected v and corrects it afterwards;
"optax" over the corrected v; "paper" corrects nothing, neither v nor m.

Reference: Kingma & Ba (2015), algorithm 1, in the order of section 2's last paragraph; Reddi, Kale
& Kumar (2018), algorithm 2; Cohen et al. (2022), arXiv 2207.14484.
"""

from typing import Any

from torch import addcdiv, addcmul, clamp, lerp, maximum, sqrt

from thalweg.optim.hyperparameters import GLOSSARY, define
from thalweg.optim.rule import rule, slot

define(
    "amsgrad_convention",
    "what AMSGrad takes the maximum of, and whether it corrects",
    choices=("torch", "paper", "optax"),
)


@rule(
    "pointwise", "odd", "loss-scale-invariant",
    terms=[GLOSSARY["eps_placement"].among("outside", "inside", "uncorrected", "floor")],
)  # fmt: skip
def adam(  # type: ignore[no-untyped-def]
    p, g, m=slot("exp_avg"), v=slot("exp_avg_sq"), v_max=slot("max_exp_avg_sq", when="amsgrad"),
    *, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, amsgrad=False, eps_placement="outside",
    amsgrad_convention="torch",
):  # fmt: skip
    """One step of Adam."""
    b1, b2 = betas
    m = lerp(m, g, 1 - b1)  # b1 m + (1 - b1) g
    v = addcmul(b2 * v, g, g, value=1 - b2)  # b2 v + (1 - b2) g^2
    corrected = not (amsgrad and amsgrad_convention == "paper")
    c1, c2 = (1 - b1**t, 1 - b2**t) if corrected else (1.0, 1.0)
    if amsgrad and amsgrad_convention == "optax":
        v_max, c2 = maximum(v_max, v / c2), 1.0
    elif amsgrad:
        v_max = maximum(v_max, v)
    root = _root(v_max if amsgrad else v, c2, eps, eps_placement)
    return addcdiv(p, m, root, value=-lr / c1), m, v, v_max if amsgrad else None


def _root(v: Any, c: Any, eps: Any, placement: str) -> Any:
    """The root of v / c, kept from zero."""
    if placement == "inside":
        return sqrt(v / c + eps)
    if placement == "uncorrected":
        return (sqrt(v) + eps) / c**0.5
    root = sqrt(v) / c**0.5
    return clamp(root, min=eps) if placement == "floor" else root + eps
