r"""SOAP: Adam in the eigenbasis of Shampoo's matrices.

Idea: Shampoo divides in the eigenbasis of L and R, by eigenvalues that are as old as the last
decomposition. Keep the basis, which turns slowly, and let Adam find the divisors in it, anew at
every step.

Formula:

    L <- b L + (1 - b) g g^T               R <- b R + (1 - b) g^T g          b = shampoo_beta
    g' = Q_L^T g Q_R                       the bases: eigenvectors of L and R
    m <- b1 m + (1 - b1) g                 v <- b2 v + (1 - b2) g'^2
    d' = Q_L^T m Q_R / (sqrt(v) + eps)
    p <- p - lr sqrt(1 - b2^n) / (1 - b1^n) Q_L d' Q_R^T

with (b1, b2) = betas and n the count of steps taken. L and R are averaged after the step, and at
every precondition_frequency-th one the bases follow: their columns are put in the order of
q^T L q, the largest first, v with them, and Q <- QR decomposition of L Q, one power iteration.

Why: Adam divides coordinate by coordinate, which is right where coordinates are uncorrelated; in
this basis the gradient's are, as far as a product of rows' and columns' bases can make them so.

When: as Shampoo, with far fewer hyperparameters that matter and with bases that may be older (10
steps and more): language models in medium and large batches.

Convention: that of the reference implementation (nikhilvyas/SOAP), whose first step only starts L,
R and the bases, by full eigendecomposition, so that no gradient is projected on a basis made of
itself; `skip_first=False` takes that step, in the basis of its own gradient. Steps taken are
counted without the skipped one. m is kept in the parameters' own coordinates, as in the paper's
algorithm 3; the implementation keeps it in the basis and turns it along, which is the same. eps
stands beside the uncorrected root, as there. `bias_correction=False` leaves the factors out, as
algorithm 3 does for brevity. Vectors get plain Adam unless `precondition_1d`; a side longer than
`max_precond_dim` stays in its own coordinates. Tensors of more than two dimensions are the matrix
of their first against all others, which is `merge_dims` there. The implementation decays the
weights after the step, and not at the skipped one; the class here before every step, as AdamW.

The fact "orthogonally-equivariant" holds while the eigenvalues of L and R differ; where they
coincide, as between directions that have seen no gradient, the basis is a matter of rounding.

Sharding: needs the whole tensor; the engine gathers sharded parameters before the step and keeps
L, R and the bases whole in every process.

Reference: Vyas et al. (2024), arXiv 2409.11321, algorithms 3 and 4.
"""

import torch
from torch import Tensor, lerp

from thalweg.optim.hyperparameters import define
from thalweg.optim.matrices import (
    as_matrix,
    between,
    eigenbasis,
    in_single,
    left_zeros,
    refreshed,
    right_zeros,
    second_moments,
)
from thalweg.optim.rule import rule, slot

define("skip_first", "let the first step only start the state", switch=True)
define("precondition_1d", "turn vectors into an eigenbasis too", switch=True)


def _zeros(p: Tensor) -> Tensor:
    return torch.zeros_like(in_single(p))


def _left(p, *, max_precond_dim, precondition_1d):  # type: ignore[no-untyped-def]
    return left_zeros(p, max_precond_dim) if p.dim() > 1 or precondition_1d else None


def _right(p, *, max_precond_dim):  # type: ignore[no-untyped-def]
    return right_zeros(p, max_precond_dim)


def _basis(x: Tensor | None) -> Tensor | None:
    return None if x is None else eigenbasis(x)


def _transposed(x: Tensor | None) -> Tensor | None:
    return None if x is None else x.T


def _turned(
    x: Tensor | None, basis: Tensor | None, v: Tensor, dim: int
) -> tuple[Tensor | None, Tensor]:
    """The basis after a refresh, and v in the columns' new order."""
    if x is None or basis is None:
        return basis, v
    basis, order = refreshed(x, basis.to(x.dtype))
    return basis, v.index_select(dim, order)


@rule("odd", "loss-scale-invariant", "orthogonally-equivariant")
def soap(  # type: ignore[no-untyped-def]
    p, g, m=slot("exp_avg", _zeros), v=slot("exp_avg_sq", _zeros),
    left=slot("left", _left), right=slot("right", _right),
    left_basis=slot("left_basis", _left), right_basis=slot("right_basis", _right),
    *, t, lr=3e-3, betas=(0.95, 0.95), eps=1e-8, shampoo_beta=None, precondition_frequency=10,
    max_precond_dim=10000, precondition_1d=False, bias_correction=True, skip_first=True,
):  # fmt: skip
    """One step of SOAP."""
    b1, b2 = betas
    beta = b2 if shampoo_beta is None else shampoo_beta
    x = as_matrix(in_single(g))
    if t == 1:
        left, right = second_moments(left, right, x, beta, 1 - beta)
        left_basis, right_basis = _basis(left), _basis(right)
        if skip_first:
            return p, m, v, left, right, left_basis, right_basis
    back = _transposed(left_basis), _transposed(right_basis)
    m = lerp(as_matrix(m).to(x.dtype), x, 1 - b1)
    v = lerp(as_matrix(v).to(x.dtype), between(back[0], x, back[1]) ** 2, 1 - b2)
    d = between(back[0], m, back[1]) / (v.sqrt() + eps)
    n = t - 1 if skip_first else t
    rate = lr * ((1 - b2**n) ** 0.5 / (1 - b1**n) if bias_correction else 1.0)
    d = between(left_basis, d, right_basis)
    if t > 1:
        left, right = second_moments(left, right, x, beta, 1 - beta)
    if n % precondition_frequency == 0:
        left_basis, v = _turned(left, left_basis, v, 0)
        right_basis, v = _turned(right, right_basis, v, 1)
    p = p - (rate * d).reshape(p.shape).to(p.dtype)
    return p, m.reshape(p.shape), v.reshape(p.shape), left, right, left_basis, right_basis
