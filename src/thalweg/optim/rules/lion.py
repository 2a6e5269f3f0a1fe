r"""Lion: the sign of a momentum that leans more on the newest gradient than its memory does.

Idea: found by a search over programs. Step by the sign of an average, as Signum, but weigh the new
gradient more for the step than for the memory.

Formula:

    p <- p - lr sign(b1 m + (1 - b1) g)
    m <- b2 m + (1 - b2) g                 b1 < b2, from m = 0

Why: every coordinate moves by lr; the memory is half of Adam's. Together with weight decay it
minimizes under a bound on the largest coordinate, 1 / weight_decay (Chen et al. 2024).

When: large models and batches, with a learning rate three to ten times smaller than Adam's and a
weight decay as many times larger.

Convention: the paper's and the authors' code's, which agree. The class decays weights decoupled,
by lr * weight_decay, before the step, as PyTorch's AdamW does; the paper's sum is the same.

Reference: Chen et al. (2023), arXiv 2302.06675, algorithm 2; Chen, Liu, Liang & Liu (2024), arXiv
2310.05898.
"""

from torch import add, lerp, sign

from thalweg.optim.rule import rule, slot


@rule("pointwise", "odd", "loss-scale-invariant")
def lion(p, g, m=slot("exp_avg"), *, lr=1e-4, betas=(0.9, 0.99)):  # type: ignore[no-untyped-def]
    """One step of Lion."""
    b1, b2 = betas
    d = sign(lerp(m, g, 1 - b1))  # the sign of b1 m + (1 - b1) g
    return add(p, d, alpha=-lr), lerp(m, g, 1 - b2)
