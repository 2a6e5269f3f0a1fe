r"""AdaBelief: Adam that divides by how far gradients are from what was expected.

Idea: the running average m is a forecast of the gradient. Where gradients agree with it, trust it
and go far, even if they are large; where they do not, be careful, even if they are small.

Formula:

    m <- b1 m + (1 - b1) g
    s <- b2 s + (1 - b2) (g - m)^2 + eps
    p <- p - lr m_hat / (sqrt(s_hat) + eps)
    m_hat = m / (1 - b1^t)                 s_hat = s / (1 - b2^t)

Why: s estimates the gradient's variance, not its square, so that a large gradient that does not
change, as on a straight slope or in a valley's direction, is followed with large steps.

When: as Adam; often nearer to SGD's generalization on images. It is more sensitive to eps than
Adam, since s may become very small.

Convention: `eps_placement="both"` is the paper's and the authors' code's: eps enters s at every
step and is added to the root again. "outside" leaves it out of s, as some ports do. eps is the
authors' 1e-16, which stands inside the root. The authors' package also rectifies by default
(as RAdam does); this is the paper's algorithm, without.

Reference: Zhuang et al. (2020), arXiv 2010.07468, algorithm 2.
"""

from torch import addcdiv, addcmul, lerp, sqrt

from thalweg.optim.hyperparameters import GLOSSARY
from thalweg.optim.rule import rule, slot


@rule("pointwise", "odd", "loss-scale-invariant",
      terms=[GLOSSARY["eps_placement"].among("both", "outside")])  # fmt: skip
def adabelief(  # type: ignore[no-untyped-def]
    p, g, m=slot("exp_avg"), s=slot("exp_avg_var"),
    *, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-16, eps_placement="both",
):  # fmt: skip
    """One step of AdaBelief."""
    b1, b2 = betas
    m = lerp(m, g, 1 - b1)  # b1 m + (1 - b1) g
    surprise = g - m
    s = addcmul(b2 * s, surprise, surprise, value=1 - b2)
    s = s + eps if eps_placement == "both" else s
    root = sqrt(s) / (1 - b2**t) ** 0.5 + eps  # sqrt(s_hat) + eps
    return addcdiv(p, m, root, value=-lr / (1 - b1**t)), m, s
