r"""Prodigy: Adam whose learning rate is an estimate of how far the solution is.

Idea: the best step of an adaptive method is in proportion to D, the largest distance from the start
to the solution. Estimate D from below: for a convex loss the gradients so far, multiplied by the
way made, prove that the solution is at least so far away. Take the largest proof seen.

Formula:

    m <- b1 m + (1 - b1) d g               v <- b2 v + (1 - b2) d^2 g^2
    r <- k r + (1 - k) lr d^2 g (p0 - p)   k = sqrt(b2), p0: where the parameter began
    s <- k s + (1 - k) lr d^2 g
    p <- p - lr d (weight_decay p + m / (sqrt(v) + d eps))
    d <- max(d, sum r / sum |s|)           over all coordinates of all parameters

Why: for convex losses the rate is that of the best constant step up to a root of a logarithm; d
only grows, by a constant factor a step, from a d0 that should be too small.

When: one wants no learning rate: lr stays 1, or carries a schedule (a cosine, without warm-up).
Small batches with very noisy gradients may hide the proof, and d stays small.

Convention: the paper's algorithm for Adam: no bias correction; d is computed from the sums as the
last step left them. The authors' package has more options (bias correction, a bound on growth,
a safeguard for warm-up) and lets d act on eps within the same step. Here r is kept for every
coordinate, one tensor more than theirs, so that wrappers, late parameters and groups with rates of
their own all take part by what they do; a parameter without a gradient is left out of the sums of
that step. Weight decay is decoupled and multiplied by lr d, as in the package. float16 cannot hold
d^2 g^2 in the beginning: keep such parameters' state in float32 (`state_dtype=torch.float32`).

Reference: Mishchenko & Defazio (2024), arXiv 2306.06101, algorithm 4 (Prodigy, Adam version).
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, add, addcdiv, addcmul, clone, lerp, sqrt

from thalweg.optim.hyperparameters import define
from thalweg.optim.rule import over_all, rule, slot
from thalweg.optim.starts import scalar

define("d0", "the first estimate of the distance to the solution", "a number > 0",
       lambda x: bool(x > 0))  # fmt: skip


# Numbers that are widened and added up at a time: 1 MiB of float32, which a cache holds.
PIECE = 1 << 18


def _distance(r: Sequence[Tensor], s: Sequence[Tensor], d: Sequence[Tensor]) -> float:
    """The largest lower bound of the distance so far."""
    known = max(map(float, d))
    length = sum(float(x.abs().sum()) for x in _pieces(s))
    made = sum(float(x.sum()) for x in _pieces(r))
    return max(known, made / length) if length else known


def _pieces(tensors: Sequence[Tensor]) -> Iterator[Tensor]:
    """The tensors by rows, a piece at a time, so that no sum needs memory for a whole tensor."""
    for x in tensors:
        rows = max(1, x.shape[0] * PIECE // max(x.numel(), 1)) if x.dim() else 1
        yield from map(_wide, torch.split(x, rows) if x.dim() else (x,))


def _wide(x: Tensor) -> Tensor:
    """As reals, in a type in which many may be added up."""
    reals = torch.view_as_real(x) if x.is_complex() else x
    return reals if reals.dtype == torch.float64 else reals.float()


@rule("pointwise", "odd", "loss-scale-invariant")
def prodigy(  # type: ignore[no-untyped-def]
    p, g, m=slot("exp_avg"), v=slot("exp_avg_sq"), r=slot("way_made"), s=slot("gradient_sum"),
    p0=slot("p0", clone), d=slot("d", lambda p, *, d0: scalar(d0), scalar=True),
    *, distance=over_all(_distance), lr=1.0, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0,
    d0=1e-6,
):  # fmt: skip
    """One step of Prodigy."""
    (b1, b2), k, d = betas, betas[1] ** 0.5, distance
    dg = d * g
    m = lerp(m, dg, 1 - b1)  # b1 m + (1 - b1) d g
    v = addcmul(b2 * v, dg, dg, value=1 - b2)
    r = addcmul(k * r, dg, p0 - p, value=(1 - k) * lr * d)
    s = add(k * s, dg, alpha=(1 - k) * lr * d)
    p = p * (1 - lr * d * weight_decay) if weight_decay else p
    return addcdiv(p, m, sqrt(v) + d * eps, value=-lr * d), m, v, r, s, p0, d
