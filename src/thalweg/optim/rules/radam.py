r"""RAdam: Adam that waits until its second moment can be trusted.

Idea: in the first steps v is an average over few gradients, its inverse root has a variance that
may be infinite, and Adam's first steps can ruin a start: hence the usual warm-up. Compute how many
gradients v effectively holds; with few, step along the momentum alone; with more, shorten the
step by what the variance exceeds its final value.

Formula:

    m <- b1 m + (1 - b1) g                 v <- b2 v + (1 - b2) g^2
    p <- p - lr m_hat                      while r <= rectify_above
    p <- p - lr m_hat  R sqrt(1 - b2^t) / (sqrt(v) + eps)      afterwards
    R = sqrt( (r - 4) (r - 2) r_inf / ((r_inf - 4) (r_inf - 2) r) )
    r_inf = 2 / (1 - b2) - 1               r = r_inf - 2 t b2^t / (1 - b2^t)

Why: the variance of 1 / sqrt(v_hat) is finite for r > 4 only; R makes it constant.

When: Adam needs a warm-up and one does not want to tune it. Note that the first steps, five with
b2 = 0.999, are plain momentum: they do depend on the loss's scale.

Convention: PyTorch's, operation by operation: `rectify_above=5` where the paper has 4, and eps
added to the root of the uncorrected v. `eps_placement="outside"` adds it to the root of the
corrected v, as optax does (whose threshold is 5, included).

Reference: Liu et al. (2020), arXiv 1908.03265, algorithm 2.
"""

from torch import add, addcmul, lerp, sqrt

from thalweg.optim.hyperparameters import GLOSSARY, define
from thalweg.optim.rule import rule, slot

define(
    "rectify_above",
    "how many gradients the second moment must hold before it is used",
    "a number >= 4",
    lambda x: bool(x >= 4),
)


@rule("pointwise", "odd", terms=[GLOSSARY["eps_placement"].among("uncorrected", "outside")])
def radam(  # type: ignore[no-untyped-def]
    p, g, m=slot("exp_avg"), v=slot("exp_avg_sq"),
    *, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, rectify_above=5.0, eps_placement="uncorrected",
):  # fmt: skip
    """One step of RAdam."""
    b1, b2 = betas
    m = lerp(m, g, 1 - b1)  # b1 m + (1 - b1) g
    v = addcmul(b2 * v, g, g, value=1 - b2)  # b2 v + (1 - b2) g^2
    held, most = 1 - b2**t, 2 / (1 - b2) - 1
    r = most - 2 * t * b2**t / held
    d = m / (1 - b1**t) * lr  # lr m_hat
    if r <= rectify_above:
        return add(p, d, alpha=-1.0), m, v
    if eps_placement == "outside":
        scale = 1 / (sqrt(v / held) + eps)
    else:
        scale = held**0.5 / (sqrt(v) + eps)
    rectifier = ((r - 4) * (r - 2) * most / ((most - 4) * (most - 2) * r)) ** 0.5
    return add(p, d * scale * rectifier, alpha=-1.0), m, v
