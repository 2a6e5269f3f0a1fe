r"""Optimal Brain Surgeon layer by layer: keep what the layer computes from its inputs.

    minimize  |(W - V) X|^2 / N    over W with the wanted zeros:    H = 2 X X' / N for every row

V the weights as they are, X the layer's N inputs as columns, with a row of ones for the bias. Each
row is a problem of its own with the same H, so that the exact surgeon, one weight at a time, is
affordable. How many weights each row loses is told by merging the rows' removals by their losses,
the cheapest first (algorithm 2 of the paper); then each row is fitted anew.

Frantar, Singh & Alistarh, *Optimal Brain Compression* (NeurIPS 2022, arXiv 2208.11580).

Cost: q^3 for each of p rows of q inputs, and memory q^2 for each row that is dealt with at a time.
"""

from __future__ import annotations

import torch
from torch import Tensor

from thalweg.pruning.brain_surgeon import Eliminated, eliminate
from thalweg.pruning.compensation import fitted
from thalweg.pruning.pattern import Pattern

NUMBERS_AT_A_TIME = 2**24  # of the inverses of a chunk of rows: 128 MiB


def choose(
    weights: Tensor, inverse: Tensor, pattern: Pattern, sparsity: float, *, columns: int
) -> Tensor:
    """Which weights of a layer go, shape (p, columns) of booleans.

    Args:
        weights: shape (p, columns or columns + 1); a last column for the bias is kept.
        inverse: H^-1, for all columns.
        pattern: of the zeros, which fits (p, columns).
        sparsity: the share of units that go; an n:m pattern has its own.
        columns: how many of the columns are weights.
    """
    tall, wide = pattern.block
    units = columns // wide
    group, quotas = quotas_of_a_row(units, pattern)
    bands = weights.reshape(-1, tall, weights.shape[1])
    parts = torch.split(bands, max(1, NUMBERS_AT_A_TIME // inverse.numel()))
    found = [one_chunk(part, inverse, group, quotas, wide) for part in parts]
    order = torch.cat([each.order for each in found])
    if pattern.keep is None:
        losses = torch.cat([each.losses for each in found])
        taken = cheapest(losses, round(sparsity * losses.numel()))
        order = order.masked_fill(~taken, units)  # one beyond the last: taken off below
    gone = torch.zeros(len(order), units + 1, dtype=torch.bool, device=weights.device)
    gone = gone.scatter(1, order, True)[:, :units]
    return gone.repeat_interleave(wide, 1).repeat_interleave(tall, 0)


def quotas_of_a_row(units: int, pattern: Pattern) -> tuple[Tensor, Tensor]:
    """Groups of a row's units, and how many of each go; all, where rows share a number."""
    if pattern.keep is None:
        return torch.zeros(units, dtype=torch.int64), torch.tensor([units])
    kept, of = pattern.keep
    return torch.arange(units) // of, torch.full((units // of,), of - kept)


def one_chunk(
    bands: Tensor, inverse: Tensor, group: Tensor, quotas: Tensor, width: int
) -> Eliminated:
    """The removals in bands of rows (b, r, q) that share an inverse to begin with."""
    own = inverse.expand(len(bands), -1, -1)
    device = bands.device
    return eliminate(bands, own, group.to(device), quotas.to(device), width=width)


def cheapest(losses: Tensor, count: int) -> Tensor:
    """Which removals are made, if each row's come in their order and the cheapest next one goes.

    Taking the cheapest of all rows' next removals is to sort by the running maximum of each row.

    Args:
        losses: of each row's removals in their order, shape (rows, steps).
        count: how many are made in all.
    """
    reached = losses.cummax(1).values.reshape(-1)
    taken = torch.zeros_like(reached, dtype=torch.bool)
    taken[reached.argsort(stable=True)[:count]] = True
    return taken.reshape(losses.shape)


def compress(
    weights: Tensor,
    hessian: Tensor,
    pattern: Pattern,
    sparsity: float,
    compensate: bool,
    *,
    columns: int,
) -> tuple[Tensor, Tensor]:
    """A layer's weights (p, q) with zeros, and where these are; see `choose`."""
    inverse = torch.linalg.inv(hessian)
    removed = choose(weights, inverse, pattern, sparsity, columns=columns)
    removed = torch.nn.functional.pad(removed, (0, weights.shape[1] - removed.shape[1]))
    if not compensate:
        return weights.masked_fill(removed, 0), removed
    rows = max(1, NUMBERS_AT_A_TIME // hessian.numel())
    pairs = zip(torch.split(weights, rows), torch.split(removed, rows), strict=True)
    return torch.cat([fitted(part, hessian, gone) for part, gone in pairs]), removed
