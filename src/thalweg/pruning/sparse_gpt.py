r"""SparseGPT: all rows of a layer at once, column by column, with one factorization.

    H^-1 = U' U, U upper triangular           H = 2 X X' / N of the layer's inputs
    at column j, for the rows that lose w_j:  W[:, j:] -= w_j / U_jj  U[j, j:]

U_jj^2 is the entry [H_jj..^-1]_jj of the inverse of what is left of H when the columns before j
are settled, and U[j, j:] U_jj its row: each removal is the surgeon's, compensated by the columns
that are still to come. Rows need no inverse of their own, since all have settled the same columns.
The rows' masks are chosen for a run of columns at a time by w^2 / U_jj^2, n:m masks in each group.

Frantar & Alistarh, *SparseGPT: Massive language models can be accurately pruned in one-shot* (arXiv
2301.00774), algorithm 1. It is exact where nothing that is kept stands before what goes; elsewhere
it keeps what a column was when its turn came.

Cost: q^3 once and p q^2, whatever the mask.
"""

from __future__ import annotations

import torch
from torch import Tensor

from thalweg.pruning.pattern import Pattern
from thalweg.pruning.units import Units, removed_weights, smallest, summed

RUN = 128  # columns whose masks are chosen together


def factor(hessian: Tensor) -> Tensor:
    """U with H^-1 = U' U, shape (q, q)."""
    upper: Tensor = torch.linalg.cholesky(torch.linalg.inv(hessian), upper=True)
    return upper


def sweep(weights: Tensor, upper: Tensor, removed: Tensor) -> Tensor:
    """Weights (p, q) with zeros where `removed`, each compensated by the columns after it."""
    rows = weights
    for at in range(removed.shape[1]):
        error = rows[:, at] * removed[:, at] / upper[at, at]
        tail = rows[:, at:] - error.unsqueeze(1) * upper[at, at:]
        rows = torch.cat([rows[:, :at], tail], 1)
    return rows.masked_fill(padded(removed, rows), 0)  # exactly, where rounding left something


def run_mask(rows: Tensor, diagonal: Tensor, pattern: Pattern, sparsity: float) -> Tensor:
    """Which weights of a run of columns (p, c) go, by w^2 / U_jj^2."""
    scores = (rows / diagonal).square().reshape(-1)
    members = pattern.members(*rows.shape)
    if pattern.keep is None:
        group = torch.zeros(len(members), dtype=torch.int64)
        quotas = torch.tensor([round(sparsity * len(members))])
    else:
        group = pattern.neighbours(*rows.shape)
        kept, of = pattern.keep
        quotas = torch.full((rows.numel() // of,), of - kept)
    units = Units(*(part.to(rows.device) for part in (members, group, quotas)))
    gone = smallest(summed(scores, units), units)
    return removed_weights(gone, units, rows.numel()).reshape(rows.shape)


def compress(
    weights: Tensor,
    hessian: Tensor,
    pattern: Pattern,
    sparsity: float,
    compensate: bool,
    *,
    columns: int,
    run: int = RUN,
) -> tuple[Tensor, Tensor]:
    """A layer's weights (p, q) with zeros, and where these are.

    Args:
        weights: with a last column for the bias, if there is one.
        hessian: positive definite, shape (q, q).
        pattern: of the zeros, which fits the first `columns`.
        sparsity: the share of units that go in each run; an n:m pattern has its own.
        compensate: whether the columns to come make up for it.
        columns: how many of them are weights.
        run: columns whose masks are chosen together; a multiple of the pattern's width is taken.
    """
    upper, rows = factor(hessian), weights
    step = run - run % (pattern.keep[1] if pattern.keep else pattern.block[1]) or columns
    masks = []
    for start in range(0, columns, step):
        end = min(start + step, columns)
        mask = run_mask(rows[:, start:end], upper.diagonal()[start:end], pattern, sparsity)
        if compensate:
            tail = sweep(rows[:, start:], upper[start:, start:], mask)
            rows = torch.cat([rows[:, :start], tail], 1)
        masks.append(mask)
    removed = padded(torch.cat(masks, 1), weights)
    return rows.masked_fill(removed, 0), removed


def padded(removed: Tensor, weights: Tensor) -> Tensor:
    """The mask with columns that are kept up to the width of the weights."""
    return torch.nn.functional.pad(removed, (0, weights.shape[1] - removed.shape[1]))
