r"""Optimal Brain Surgeon: remove a weight, and let all others make up for it.

    saliency of w_q     L_q = w_q^2 / (2 [H^-1]_qq)
    compensation        dw  = - w_q / [H^-1]_qq  H^-1 e_q
    the next inverse    H^-1 - H^-1 e_q e_q' H^-1 / [H^-1]_qq

Hassibi & Stork, *Second order derivatives for network pruning: Optimal Brain Surgeon* (NIPS 1993),
equation 5. dw is the minimum of dw' H dw / 2 under w_q + dw_q = 0, and L_q its value. Several
weights Q go at once by the same formulas with the block [H^-1]_QQ in place of the number:

    L_Q = w_Q' [H^-1]_QQ^-1 w_Q / 2,        dw = - H^-1 E_Q [H^-1]_QQ^-1 w_Q.

The last line is elimination: what is left of H^-1 is the inverse of the rows and columns of H that
remain, so that the following weights are chosen and compensated with those gone taken into account.

Here the formulas run over a batch of matrices, each for r rows of weights that are removed together
(the rows of a layer share the curvature of its inputs; a whole network is a single row), and a
unit is a run of `width` neighbouring columns. Cost of a removal: q^2 for each matrix of q columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor


@final
@dataclass(frozen=True)
class Eliminated:
    """Weights after the removal of units, one after the other.

    Attributes:
        weights: what is left, shape (b, r, q).
        order: the unit that went at each step, shape (b, steps).
        losses: the increase of the quadratic at each step, shape (b, steps).
    """

    weights: Tensor
    order: Tensor
    losses: Tensor


def saliencies(weights: Tensor, inverse: Tensor, width: int, units: int) -> Tensor:
    """L_Q of every unit, shape (b, units): rows of one matrix are added up.

    Args:
        weights: shape (b, r, q).
        inverse: H^-1, shape (b, q, q).
        width: columns of a unit.
        units: how many there are; the columns after them belong to none.
    """
    if width == 1:
        curvature = inverse.diagonal(dim1=1, dim2=2)[:, None, :units]
        return (weights[..., :units].square() / curvature).sum(1) / 2
    own = torch.stack(
        [inverse[:, at : at + width, at : at + width] for at in range(0, units * width, width)], 1
    )
    parts = weights[..., : units * width].reshape(*weights.shape[:2], units, width).movedim(1, -1)
    found: Tensor = (parts * torch.linalg.solve(own, parts)).sum((-2, -1)) / 2
    return found


def eliminate(
    weights: Tensor,
    inverse: Tensor,
    group: Tensor,
    quotas: Tensor,
    *,
    width: int = 1,
    compensate: bool = True,
) -> Eliminated:
    """Remove units one at a time, each time the one of the smallest saliency, until all quotas are.

    Args:
        weights: shape (b, r, q); of each of the b problems the same number of units is removed.
        inverse: H^-1 of each, symmetric positive definite, shape (b, q, q).
        group: of each unit, shape (units,); units are the first columns, `width` each. What is in
            no unit (a bias) is kept, and compensates.
        quotas: how many units of each group go, shape (groups,).
        width: columns of a unit.
        compensate: whether the remaining weights make up for what is gone. If not, saliencies are
            still those of the weights as they would be.
    """
    rows, rest = weights.clone(), inverse.clone()
    count, units, steps = len(rows), len(group), int(quotas.sum())
    at, problems = torch.arange(width, device=rows.device), torch.arange(count, device=rows.device)
    gone = torch.zeros(count, units, dtype=torch.bool, device=rows.device)
    left = quotas.repeat(count, 1)
    order, losses = [], []
    for _ in range(steps):
        closed = gone | (left[:, group] == 0)
        regular = settled(rest, gone, width) if width > 1 else rest  # 0 / 0 is closed anyhow
        scores = saliencies(rows, regular, width, units)
        loss, unit = scores.masked_fill(closed, torch.inf).min(1)
        columns = unit.unsqueeze(1) * width + at
        rows = remove(rows, rest, columns)
        gone[problems, unit] = True
        left[problems, group[unit]] -= 1
        order.append(unit)
        losses.append(loss)
    if not compensate:
        rows = weights.masked_fill(widened(gone, width, weights.shape[-1]).unsqueeze(1), 0)
    return Eliminated(rows, stacked(order, gone, torch.int64), stacked(losses, gone, rows.dtype))


def remove(weights: Tensor, inverse: Tensor, columns: Tensor) -> Tensor:
    """Take `columns` (b, c) out of weights (b, r, q), and out of the inverse (b, q, q) in place."""
    down = inverse.gather(2, columns[:, None, :].expand(-1, inverse.shape[1], -1))
    own = down.gather(1, columns[..., None].expand(-1, -1, columns.shape[1]))
    spot = columns[:, None, :].expand(-1, weights.shape[1], -1)
    across = torch.linalg.solve(own, down.mT)  # [H^-1]_QQ^-1 E_Q' H^-1, shape (b, c, q)
    left = weights - weights.gather(2, spot) @ across
    inverse.baddbmm_(down, across, alpha=-1)  # a new matrix at every removal would cost twice
    return torch.scatter(left, 2, spot, 0.0)


def settled(inverse: Tensor, gone: Tensor, width: int) -> Tensor:
    """The inverse with ones on the diagonal where columns are gone, so that blocks stay regular."""
    columns = widened(gone, width, inverse.shape[-1])
    return inverse + torch.diag_embed(columns.to(inverse.dtype))


def widened(gone: Tensor, width: int, columns: int) -> Tensor:
    """Whether each column is gone, shape (b, columns), from that of each unit."""
    wide = gone.repeat_interleave(width, 1)
    return torch.nn.functional.pad(wide, (0, columns - wide.shape[1]))


def stacked(steps: list[Tensor], like: Tensor, dtype: torch.dtype) -> Tensor:
    """What happened at each step, shape (b, steps), also where there was none."""
    return torch.stack(steps, 1) if steps else like.new_empty(len(like), 0, dtype=dtype)
