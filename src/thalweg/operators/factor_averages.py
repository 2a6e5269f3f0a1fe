r"""Running averages of blocks, as an optimizer keeps them over its steps.

    A  <-  decay A + (1 - decay) A of the newer

factor by factor, and eigenvalue by eigenvalue where both are corrected in one basis. Martens &
Grosse (arXiv 1503.05671), section 5; George et al. (arXiv 1806.03884), algorithm 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from thalweg.operators.blocks import Block
from thalweg.operators.corrected_block import CorrectedBlock


def averaged(
    name: str, before: Sequence[Block], after: Sequence[Block], decay: float
) -> tuple[Block, ...]:
    """decay * before + (1 - decay) * after, block by block.

    Args:
        name: of the operator, for what is said if they cannot be averaged.
        before, after: the blocks of two operators of one model.
        decay: from 0 to 1.

    Raises:
        ValueError: `decay` is no such number, or the blocks differ in kind or in basis.
    """
    if not 0 <= decay <= 1:
        raise ValueError(f"{name}.averaged(decay={decay}): give a number from 0 to 1.")
    if [kind_of(block) for block in before] != [kind_of(block) for block in after]:
        raise ValueError(
            f"{name}.averaged(newer): the two have different blocks, or eigenvalues corrected in "
            "different bases. Average operators of one model; corrected ones that were made by "
            "EigenvalueCorrected.in_basis_of."
        )
    return tuple(blended(old, new, decay) for old, new in zip(before, after, strict=True))


def kind_of(block: Block) -> tuple[object, ...]:
    """What two blocks must share to be averaged; a basis is the same only if it is one tensor."""
    basis = id(block.right_basis) if isinstance(block, CorrectedBlock) else None
    return (type(block), block.names, block.shapes, basis)


def blended(old: Block, new: Block, decay: float) -> Block:
    """decay * old + (1 - decay) * new, in what is summed over samples."""
    mixed = {
        each: decay * getattr(old, each) + (1 - decay) * getattr(new, each) for each in new.summed
    }
    return replace(new, **mixed)
