r"""XDiag: every test vector also deflates, for all the others; and the error of each entry.

With s columns w_i of signs, Q_i an orthonormal basis of the range of A [w_j : j != i] and P_i =
I - Q_i Q_i', the estimate is the mean of

    d_i = diag(Q_i Q_i' A) + w_i * (P_i A w_i),

unbiased since w_i knows nothing of Q_i. E. Epperly, J. Tropp & R. Webber, *XTrace* (SIAM J. Matrix
Anal. Appl. 45, 2024), section 2.4. With Q, R and x_i as in `linalg.xtrace`, p_i = Q x_i and
q_i = A Q x_i,

    d_i = diag(Q Q'A) - p_i * q_i + (x_i'R e_i) w_i * p_i.

The error is the jackknife's of `linalg.xtrace`, entry by entry: the same sums over pairs, as
products of n x s with s x s matrices.

Cost: 2 s products and about 14 n s^2 multiplications. Memory: 8 s vectors.
"""

import torch
from torch import Tensor

from thalweg.linalg.leave_out import Pairs
from thalweg.linalg.probing import check_products, rademacher
from thalweg.linalg.xtrace import applied, is_deficient
from thalweg.operators import Operator


def xdiag(operator: Operator, count: int, seed: int) -> tuple[Tensor, Tensor, int]:
    """The diagonal, its standard errors, shape (n,) each, and the products, from count // 2 signs.

    Raises:
        ValueError: fewer than 6 products.
    """
    check_products("diagonal", count, 6, "method='xdiag'")
    s = min(count // 2, operator.size)
    generator = torch.Generator().manual_seed(seed)
    tests = rademacher(operator, s, generator)
    q, r = torch.linalg.qr(applied(operator, tests))
    seen = applied(operator, q)
    known = (q * seen).sum(1)
    if is_deficient(r.double().cpu(), operator.dtype) or s == operator.size:
        return known, torch.zeros_like(known), 2 * s  # Q holds all of A's range
    pairs = Pairs.of(r.double().cpu())
    p, aq = q @ pairs.directions.to(q), seen @ pairs.directions.to(q)
    steps = pairs.directions.T @ r.double().cpu()  # x_i'R e_j
    single = (tests * p) @ steps.diagonal().to(q) - (p * aq).sum(1)
    without = leave_pairs_out(tests, p, aq, pairs, steps)
    errors = ((s - 1) / s * (without - without.mean(1, keepdim=True)).square().sum(1)).sqrt()
    return known + single / s, errors, 2 * s


def leave_pairs_out(tests: Tensor, p: Tensor, aq: Tensor, pairs: Pairs, steps: Tensor) -> Tensor:
    """What is added to diag(Q Q'A) by the columns but the i-th, shape (n, s).

    The mean over j != i of  w_j * Q U U'R e_j - diag(Q U U'Q'A), where U spans x_i and x_j.
    """
    s = len(steps)
    apart = (1 - torch.eye(s, dtype=steps.dtype)) / (1 - pairs.cosines.square())
    mine, other = pairs.coefficients(steps)
    mine, other = mine - torch.diag(mine.diagonal()), other - torch.diag(other.diagonal())
    crossed = (pairs.cosines * apart).to(p)
    both = p * aq
    removed = (
        both * apart.sum(1).to(p) + both @ apart.to(p) - p * (aq @ crossed) - aq * (p @ crossed)
    )
    added = p * (tests @ mine.T.to(p)) + (tests * p) @ other.T.to(p)
    return (added - removed) / (s - 1)
