r"""Sophia: momentum divided by an estimate of the Hessian's diagonal, and clipped.

Idea: Newton's method divides by the curvature: long steps in flat directions, short ones in sharp
directions. A diagonal estimate, renewed every ten steps or so, is cheap; where it is wrong, small
or negative, clipping makes the step a sign step of length lr.

Formula:

    m <- b1 m + (1 - b1) g
    p <- p - lr clip(m / max(c h, eps), -1, 1)
    h <- b2 h + (1 - b2) estimate          by `update_hessian`, now and then

with c = curvature_scale (the paper's gamma).

Why: the number of steps does not depend on the condition number of the diagonal; clipping bounds
every coordinate's move by lr and guards against stale and negative curvature.

When: language models, where curvatures differ widely between coordinates. The class `Sophia` has
`update_hessian` with both estimators of the paper. Choose c so that 10 to 50 % of the
coordinates are not clipped.

Convention: the paper's; b2 acts in `update_hessian` alone. Before the first estimate h is zero and
every step a sign step. The authors' code for GPT-2 writes c as rho times the number of tokens
in a batch, as their gradients are means over tokens; the estimators here are those of the loss as
it is given. The class decays weights decoupled.

Reference: Liu, Li, Hall, Liang & Ma (2023), arXiv 2305.14342, algorithm 3.
"""

from torch import add, clamp, lerp

from thalweg.optim.hyperparameters import define
from thalweg.optim.rule import rule, slot

define("curvature_scale", "how much of the curvature divides the momentum", "a number > 0",
       lambda x: bool(x > 0))  # fmt: skip


@rule("pointwise", "odd", "loss-scale-invariant")
def sophia(  # type: ignore[no-untyped-def]
    p, g, m=slot("exp_avg"), h=slot("hessian"),
    *, lr=1e-4, betas=(0.96, 0.99), curvature_scale=0.01, eps=1e-12,
):  # fmt: skip
    """One step of Sophia, with the curvature as it was last estimated."""
    m = lerp(m, g, 1 - betas[0])  # b1 m + (1 - b1) g
    newton = m / clamp(curvature_scale * h, min=eps)
    return add(p, clamp(newton, -1.0, 1.0), alpha=-lr), m, h
