r"""Adamax: Adam with the largest gradient in place of the root mean square.

Idea: Adam's second moment is a 2-norm of past gradients, weighted by age; let the norm's order go
to infinity. What is left is a fading maximum.

Formula:

    m <- b1 m + (1 - b1) g
    u <- max(b2 u, |g| + eps)
    p <- p - lr / (1 - b1^t) m / u

Why: no coordinate moves more than lr a step (if b1 < sqrt(b2) and past gradients were no larger),
and u needs no correction: a maximum is not biased by its start at zero.

When: gradients are sparse or now and then very large (embeddings, policy gradients): a rare large
gradient is felt at once and forgotten slowly.

Convention: PyTorch's, operation by operation: eps is added to |g| inside the maximum, in optax too.
The paper has no eps (`eps=0`; then 0 / 0 where no gradient has been). `eps_placement="outside"` is
Keras's: m / (u + eps).

Reference: Kingma & Ba (2015), algorithm 2.
"""

from torch import addcdiv, lerp, maximum

from thalweg.optim.hyperparameters import GLOSSARY
from thalweg.optim.rule import rule, slot


@rule(
    "pointwise", "odd", "loss-scale-invariant",
    terms=[GLOSSARY["eps_placement"].among("inside", "outside")],
)  # fmt: skip
def adamax(  # type: ignore[no-untyped-def]
    p, g, m=slot("exp_avg"), u=slot("exp_inf"),
    *, t, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, eps_placement="inside",
):  # fmt: skip
    """One step of Adamax."""
    b1, b2 = betas
    inside = eps_placement == "inside"
    m = lerp(m, g, 1 - b1)  # b1 m + (1 - b1) g
    u = maximum(b2 * u, abs(g) + eps if inside else abs(g))
    return addcdiv(p, m, u if inside else u + eps, value=-(lr / (1 - b1**t))), m, u
