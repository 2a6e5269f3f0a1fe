r"""SparseAdam: Adam for tables of which a batch touches a few rows.

Idea: a row of an embedding has a gradient only when its word occurs. Let its moments move only
then: rows that wait cost nothing, and keep the moments of their last step.

Formula:

    m <- m + (1 - b1) (g - m)              v <- v + (1 - b2) (g^2 - v)
    p <- p - lr_t m / (sqrt(v) + eps)      lr_t = lr sqrt(1 - b2^t) / (1 - b1^t)

for the rows that have a gradient, with (b1, b2) = betas and t the steps of the whole table.

Why: a step costs what the batch touches. Under Adam a row without gradient goes on moving by its
old moments, for about 1 / (1 - b1) steps, and loses its memory of v.

When: large embeddings with `sparse=True`, trained by batches that see few of their rows. With dense
gradients every row is touched, and it is Adam but for where eps stands.

Convention: PyTorch's, operation by operation: eps is added to the root of the uncorrected v
(Kingma & Ba, section 2, last paragraph), and the biases are corrected by the table's steps, not the
row's own, so that a row's first step is longer the later it comes, up to (1 - b1) / sqrt(1 - b2)
times lr. PyTorch refuses dense gradients; here they are rows that are all touched.

Reference: Kingma & Ba (2015), algorithm 1; the restriction to touched rows is PyTorch's and
TensorFlow's `LazyAdam`.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, sqrt

from thalweg.optim.rule import rule, slot


def _dense(p: Tensor, _: Mapping[str, Any]) -> None:
    if p.layout is not torch.strided:
        raise ValueError(
            f"SparseAdam requires dense parameter tensors, got one of layout {p.layout}: "
            "gradients may be sparse, the table itself is dense. Give p.to_dense()."
        )


@rule("pointwise", "odd", "loss-scale-invariant", admit=_dense, rows=lambda hyper: True)
def sparse_adam(  # type: ignore[no-untyped-def]
    p, g, m=slot("exp_avg"), v=slot("exp_avg_sq"), *, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8
):
    """One step of SparseAdam, for the rows that it is given."""
    b1, b2 = betas
    m = m + (g - m) * (1 - b1)
    v = v + (g * g - v) * (1 - b2)
    rate = lr * (1 - b2**t) ** 0.5 / (1 - b1**t)
    return p + (m / (sqrt(v) + eps)) * -rate, m, v
