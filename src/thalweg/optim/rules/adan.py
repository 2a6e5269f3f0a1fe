r"""Adan: Nesterov's momentum, rewritten for gradients at one point, with adaptive rates.

Idea: Nesterov's method wants the gradient at a point ahead. The change of the gradient from the
last step to this one foretells it: keep averages of the gradient and of its change, and of the
square of both together.

Formula:

    m <- b1 m + (1 - b1) g                 v <- b2 v + (1 - b2) c
    n <- b3 n + (1 - b3) (g + b2 c)^2
    p <- p - lr (m_hat + b2 v_hat) / (sqrt(n_hat) + eps)

with (b1, b2, b3) = betas and c = g - g_prev, zero at the first step; a hat divides by 1 - b^t.

Why: the step has Nesterov's correction without a second evaluation, and the bound on gradients that
find a stationary point is the best known for losses with smooth Hessians.

When: training vision and language models from scratch, with larger learning rates than Adam's (5 to
10 times) and small or large batches. It keeps four tensors for every parameter.

Convention: betas count what is kept, as in the authors' code, where the paper counts what is new:
its (0.02, 0.08, 0.01) are (0.98, 0.92, 0.99) here. `convention="official"` is the authors' code,
with bias corrections. "paper" has none and starts at m = g, n = g^2. "optax" is the code with the
weight 1 - b2, which is the paper's in the paper's betas, where b2 stands above. The restart
condition of the paper's algorithm is left out, as in the code. The class decays as the paper does,
by dividing by 1 + lr * weight_decay after the step.

Reference: Xie, Zhou, Li, Lin & Yan (2022), arXiv 2208.06677, algorithm 1.
"""

from dataclasses import replace

from torch import add, addcdiv, addcmul, lerp, sqrt

from thalweg.optim.hyperparameters import GLOSSARY
from thalweg.optim.rule import rule, slot


@rule(
    "pointwise", "odd", "loss-scale-invariant",
    terms=[
        replace(GLOSSARY["betas"], length=3, domain="three numbers in [0, 1)"),
        GLOSSARY["convention"].among("official", "paper", "optax"),
    ],
)  # fmt: skip
def adan(  # type: ignore[no-untyped-def]
    p, g, m=slot("exp_avg"), v=slot("exp_avg_diff"), n=slot("exp_avg_sq"),
    g_prev=slot("previous_grad", None),
    *, t, lr=1e-3, betas=(0.98, 0.92, 0.99), eps=1e-8, convention="official",
):  # fmt: skip
    """One step of Adan."""
    b1, b2, b3 = betas
    change = g - (g if g_prev is None else g_prev)
    share = 1 - b2 if convention == "optax" else b2  # of the change, in the step
    ahead = add(g, change, alpha=share)  # g + b2 c
    m, v = lerp(m, g, 1 - b1), lerp(v, change, 1 - b2)
    n = addcmul(b3 * n, ahead, ahead, value=1 - b3)
    if convention == "paper" and g_prev is None:
        m, n = g, g * g
    c1, c2, c3 = (1.0,) * 3 if convention == "paper" else (1 - b**t for b in betas)
    root = sqrt(n) / c3**0.5 + eps  # sqrt(n_hat) + eps
    p = addcdiv(p, m, root, value=-lr / c1)
    return addcdiv(p, v, root, value=-lr * share / c2), m, v, n, g
