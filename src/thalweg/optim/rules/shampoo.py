r"""Shampoo: AdaGrad with a full matrix for the rows, and one for the columns.

Idea: AdaGrad divides each coordinate by the root of its past squares; the coordinates of a weight
matrix are correlated, and one would divide by the root of all their past products, if that matrix
were not too large. Approximate it by a Kronecker product: one matrix for the rows, one for the
columns.

Formula:

    L <- L + g g^T                          from L = eps I
    R <- R + g^T g                          from R = eps I
    d = L^(-1/4) g R^(-1/4)                 of a vector d = L^(-1/2) g
    b <- mu b + d                           mu = momentum
    p <- p - lr b

Why: L^(1/2) and R^(1/2), multiplied as Kronecker factors, bound the matrix of full AdaGrad from
above, which carries its regret bound over. After one step from nothing, d = U V^T of g = U S V^T:
Muon's direction, which Shampoo makes of the history instead of the last average.

When: layers with sides up to some thousands, where fewer and better steps are worth an
eigendecomposition now and then (n^3 for each side). For a cheaper way to the same basis: SOAP.

Convention: sums as in the paper; `shampoo_beta` gives running averages instead (Anil et al.; the
older half is then forgotten and the steps do not shrink). `precondition_frequency` recomputes the
roots at every so many steps, from the first. `inverse_exponent` replaces 1 / (2 * number of sides):
0.5 is what Morwani et al. find nearest to full AdaGrad for two sides. A side longer than
`max_precond_dim` is left out; where none remains, as for a long vector, d is AdaGrad's step.
`grafting` gives d another rule's length: "sgd" that of g, "adagrad" that of AdaGrad's step, whose
sum of squares is then kept too (Anil et al.). Tensors of more than two dimensions are taken as the
matrix of their first against all others, where the paper has a matrix for each dimension. Roots are
taken in float64; a direction that has seen no gradient (possible with eps=0) does not move.
Momentum is over d; jettify mixes d into the next gradient instead. The facts are those of a rule
without grafting.

Sharding: needs the whole tensor; the engine gathers sharded parameters before the step and keeps L
and R whole in every process, so that all compute the same roots.

Reference: Gupta, Koren & Singer (2018), arXiv 1802.09568, algorithm 1; Anil et al. (2020), arXiv
2002.09018; Morwani et al. (2024), arXiv 2406.17748.
"""

import torch
from torch import Tensor
from torch.linalg import vector_norm

from thalweg.optim.hyperparameters import define
from thalweg.optim.matrices import (
    as_matrix,
    between,
    in_single,
    inverse_root,
    left_zeros,
    right_zeros,
    second_moments,
)
from thalweg.optim.rule import rule, slot

define(
    "shampoo_beta",
    "how much of the rows' and columns' second moments is kept; None: all, as a sum (Shampoo), or "
    "as much as betas say (SOAP)",
    "in [0, 1), or None",
    lambda x: bool(0 <= x < 1),
    optional=True,
)
define(
    "precondition_frequency",
    "at every how many steps the roots or bases are computed anew",
    "a whole number >= 1",
    lambda x: bool(x >= 1 and x == int(x)),
)
define(
    "max_precond_dim",
    "the longest side that has a matrix of its own",
    "a whole number >= 0",
    lambda x: bool(x >= 0 and x == int(x)),
)
define(
    "inverse_exponent",
    "the power of the inverse of each side's matrix",
    "> 0, or None",
    lambda x: bool(x > 0),
    optional=True,
)
define(
    "grafting",
    "the rule that gives a step its length",
    choices=("sgd", "adagrad"),
    optional=True,
)


def _left(p, *, max_precond_dim, eps=0.0):  # type: ignore[no-untyped-def]
    zeros = left_zeros(p, max_precond_dim)
    return None if zeros is None else zeros + eps * torch.eye(len(zeros)).to(zeros)


def _right(p, *, max_precond_dim, eps=0.0):  # type: ignore[no-untyped-def]
    zeros = right_zeros(p, max_precond_dim)
    return None if zeros is None else zeros + eps * torch.eye(len(zeros)).to(zeros)


def _left_root(p, *, max_precond_dim):  # type: ignore[no-untyped-def]
    return left_zeros(p, max_precond_dim)


def _right_root(p, *, max_precond_dim):  # type: ignore[no-untyped-def]
    return right_zeros(p, max_precond_dim)


def _squares(p, *, grafting, max_precond_dim):  # type: ignore[no-untyped-def]
    bare = left_zeros(p, max_precond_dim) is None and right_zeros(p, max_precond_dim) is None
    return torch.zeros_like(in_single(p)) if bare or grafting == "adagrad" else None


def _roots(
    left: Tensor | None, right: Tensor | None, exponent: float | None
) -> tuple[Tensor | None, Tensor | None]:
    sides = (left is not None) + (right is not None)
    root = 2 * sides if exponent is None else 1 / exponent
    return (
        None if left is None else inverse_root(left, root).to(left.dtype),
        None if right is None else inverse_root(right, root).to(right.dtype),
    )


def _as_long_as(d: Tensor, other: Tensor) -> Tensor:
    length = vector_norm(d)
    return d * torch.where(length > 0, vector_norm(other) / length, 1.0)


@rule("odd", "loss-scale-invariant", "orthogonally-equivariant")
def shampoo(  # type: ignore[no-untyped-def]
    p, g, left=slot("left", _left), right=slot("right", _right),
    left_root=slot("left_root", _left_root), right_root=slot("right_root", _right_root),
    s=slot("sum", _squares), b=slot("momentum_buffer", when="momentum"),
    *, t, lr=0.1, momentum=0.0, eps=1e-4, shampoo_beta=None, precondition_frequency=1,
    max_precond_dim=1024, inverse_exponent=None, grafting=None,
):  # fmt: skip
    """One step of Shampoo."""
    x = as_matrix(in_single(g))
    keep, take = (1.0, 1.0) if shampoo_beta is None else (shampoo_beta, 1 - shampoo_beta)
    left, right = second_moments(left, right, x, keep, take)
    if (t - 1) % precondition_frequency == 0:
        left_root, right_root = _roots(left, right, inverse_exponent)
    d = between(left_root, x, right_root).reshape(p.shape)
    if s is not None:
        s = s + in_single(g) ** 2
        adagrad = in_single(g) / (s + eps).sqrt()
        d = adagrad if left is None and right is None else _as_long_as(d, adagrad)
    if grafting == "sgd":
        d = _as_long_as(d, g)
    d = d.to(p.dtype)
    if momentum:
        b = d = momentum * b + d
    return p - lr * d, left, right, left_root, right_root, s, b
