r"""The exact diagonal of a block in the eigenbasis of its Kronecker factors.

    s_ij = sum_u sum_n ( Q_left' [sum_t g a'] Q_right )_ij^2

The diagonal matrix that is nearest to the block in that basis, so never farther from it than the
factors' own. George et al., *Fast approximate natural gradient descent in a Kronecker-factored
eigenbasis* (arXiv 1806.03884).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from thalweg.operators.blocks import Block, KroneckerBlock, WeightBlock
from thalweg.operators.corrected_block import CorrectedBlock
from thalweg.operators.differentiation import twice_differentiable
from thalweg.operators.distributed import Group, together
from thalweg.operators.evaluation import LARGEST_AT_ONCE, Evaluation, Piece, Settings
from thalweg.operators.factor_reduction import sum_over_ranks

Basis = tuple[Tensor | None, Tensor]


def corrected(
    pieces: Iterable[Piece],
    params: Mapping[str, Tensor],
    settings: Settings,
    blocks: Iterable[Block],
    group: Group | None = None,
    basis: Iterable[Block] | None = None,
) -> tuple[Block, ...]:
    """`blocks`, those with Kronecker factors with that diagonal as their eigenvalues.

    Args:
        pieces, params, settings: those that the blocks were made of; the columns are the same.
        blocks: all of them.
        group: the processes that the data is spread over.
        basis: blocks of the same parameters, in whose bases the diagonals are taken; None for the
            eigenbases of the factors in `blocks`.
    """
    found = {block.names: block for block in blocks}
    given = found if basis is None else {block.names: block for block in basis}
    factored = {names: block for names, block in found.items() if isinstance(block, KroneckerBlock)}
    bases = {names: basis_of(names, given) for names in factored}
    sums = {
        names: block.right.new_zeros(block.left.shape[:2] + block.right.shape[2:])
        for names, block in factored.items()
    }
    generator = settings.generator()
    with together(group), twice_differentiable():
        for piece in pieces:
            add_squares(sums, bases, Evaluation.of(piece, params), settings, generator)
    sum_over_ranks((s for _, s in sorted(sums.items())), group)
    changed = {
        names: CorrectedBlock.of(factored[names], bases[names], sums[names]) for names in sums
    }
    return tuple(changed.get(names, block) for names, block in found.items())


def basis_of(names: tuple[str, ...], blocks: Mapping[tuple[str, ...], Block]) -> Basis:
    """The basis of the block with these names.

    Raises:
        ValueError: there is none with two factors.
    """
    block = blocks.get(names)
    if not isinstance(block, WeightBlock):
        raise ValueError(
            f"EigenvalueCorrected(basis=...): it has no Kronecker factors for {', '.join(names)}. "
            "Give an operator of the same model, which is used in the same way."
        )
    return block.basis


def add_squares(
    sums: dict[tuple[str, ...], Tensor],
    bases: Mapping[tuple[str, ...], Basis],
    at: Evaluation,
    settings: Settings,
    generator: torch.Generator,
) -> None:
    """Add a batch's squares to the sums of all blocks."""
    factored = [plan for plan in at.plans if plan.names in bases]
    entries = {plan.names: at.entries(plan) for plan in factored}
    for column in at.columns(settings, generator):
        derivatives = at.derivatives(column)
        for plan in factored:
            g = torch.cat([derivatives[i] for i in plan.uses], 1)
            added = squares(bases[plan.names], sums[plan.names], entries[plan.names], g)
            sums[plan.names] += at.piece.weight * added


def squares(basis: Basis, like: Tensor, a: Tensor, g: Tensor) -> Tensor:
    """sum_n of the squares of the samples' derivatives in a basis, (groups, p, q).

    Args:
        basis: Q_left, None for the identity, and Q_right.
        like: a tensor of the result's shape and precision.
        a: the inputs, (N, T, groups, q), or an embedding's indices, (N, T).
        g: the derivatives, (N, T, groups, p), or an embedding's, (N, T, d).
    """
    g = g.to(like)
    left, right = basis
    if left is None:
        return squares_of_rows(like.shape[1], a, g @ right[0])
    g, a = (g.unsqueeze(-2) @ left).squeeze(-2), (a.to(g).unsqueeze(-2) @ right).squeeze(-2)
    if g.shape[1] == 1:
        return torch.einsum("ngp,ngq->gpq", g[:, 0].square(), a[:, 0].square())
    at_once = max(1, LARGEST_AT_ONCE // like.numel())
    pairs = zip(torch.split(g, at_once), torch.split(a, at_once), strict=True)
    return sum(
        (torch.einsum("ntgp,ntgq->ngpq", *pair).square().sum(0) for pair in pairs),
        torch.zeros_like(like),
    )


def squares_of_rows(rows: int, indices: Tensor, g: Tensor) -> Tensor:
    """`squares` for an embedding of `rows` rows: derivatives of one row of one sample add up."""
    count = torch.arange(len(indices), device=indices.device).unsqueeze(1)
    places, inverse = torch.unique(count * rows + indices, return_inverse=True)
    g = g.reshape(indices.numel(), -1)
    added = g.new_zeros(len(places), g.shape[1]).index_add(0, inverse.reshape(-1), g)
    total = g.new_zeros(rows, g.shape[1]).index_add(0, places % rows, added.square())
    return total.unsqueeze(0)
