r"""Blocks with the curvature of a penalty.

    left (x) right + c I,    Q diag(s) Q' + c I,    full + diag(d),    diag(s) + diag(d)

A block with two Kronecker factors takes a multiple of the identity, which changes its eigenvalues
and not their vectors: the place of the L2 penalty in Martens & Grosse (arXiv 1503.05671), section
6. The sum with any other matrix has no such factors, and is refused rather than approximated.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from thalweg.operators.blocks import Block, WeightBlock
from thalweg.operators.checks import SUMMING
from thalweg.operators.factored import block_vector, taken_apart
from thalweg.operators.hessian import Hessian
from thalweg.operators.penalty import diagonal_of


def penalized(name: str, blocks: Sequence[Block], hessian: Hessian) -> tuple[Block, ...]:
    """`blocks` with a penalty's Hessian added.

    Args:
        name: of the operator, for messages.
        blocks: of all the parameters that the Hessian is over.
        hessian: the penalty's.

    Raises:
        ValueError: it is not diagonal, has a negative entry, or has unlike ones in a block with
            Kronecker factors.
    """
    diagonal = diagonal_of(hessian)
    if diagonal is None:
        raise not_factored(name, "is not diagonal")
    if not bool((diagonal >= 0).all()):
        raise not_factored(name, "has negative curvature")
    parts = taken_apart(hessian.layout, diagonal.unsqueeze(1))
    pairs = [(block, block_vector(block, parts)[0]) for block in blocks]
    for block, d in pairs:
        if isinstance(block, WeightBlock) and not is_constant(d):
            raise not_factored(
                name, f"is no multiple of the identity on {' and '.join(block.names)}"
            )
    return tuple(block.plus(d) for block, d in pairs)


def is_constant(values: Tensor) -> bool:
    """Whether all are the same, to rounding."""
    spread = values.max() - values.min()
    return bool(spread <= SUMMING * torch.finfo(values.dtype).eps * values.abs().max())


def not_factored(name: str, fault: str) -> ValueError:
    """The error for a penalty that has no place in the blocks."""
    return ValueError(
        f"{name}.of_model(penalty=...): the penalty's Hessian {fault}. Blocks take a diagonal one "
        "without negative entries, those with Kronecker factors a multiple of the identity. "
        "Penalize the numbers of a layer alike, its bias too; or leave biases out of params=; or "
        f"solve with GaussNewton.of_model(..., penalty=...), and take {name} without the penalty "
        "as the preconditioner."
    )
