"""Blocks and layouts as plain tensors, strings and numbers, which any file format keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from thalweg.operators.blocks import Block, DiagonalBlock, FullBlock, KroneckerBlock
from thalweg.operators.corrected_block import CorrectedBlock
from thalweg.operators.layout import Layout

KINDS: dict[str, type[Block]] = {
    "corrected": CorrectedBlock,
    "diagonal": DiagonalBlock,
    "full": FullBlock,
    "Kronecker": KroneckerBlock,
}


def saved_block(block: Block) -> dict[str, Any]:
    """A copy of a block."""
    (kind,) = (name for name, of in KINDS.items() if of is type(block))
    kept = {field.name: getattr(block, field.name) for field in fields(block)}
    tensors = {name: value.clone() for name, value in kept.items() if isinstance(value, Tensor)}
    shapes = [list(shape) for shape in block.shapes]
    return {"kind": kind, "names": list(block.names), "shapes": shapes, "tensors": tensors}


def restored_block(state: Mapping[str, Any]) -> Block:
    """The block that `saved_block` wrote down; what it holds no tensor for is None."""
    kind = KINDS[state["kind"]]
    tensors = [state["tensors"].get(field.name) for field in fields(kind)[2:]]
    kept = [None if tensor is None else tensor.clone() for tensor in tensors]
    return kind(tuple(state["names"]), tuple(map(torch.Size, state["shapes"])), *kept)


def saved_layout(layout: Layout) -> dict[str, Any]:
    """A layout without the devices, which a file may change."""
    shapes = [list(shape) for shape in layout.shapes]
    return {"names": list(layout.names), "shapes": shapes, "dtypes": list(layout.dtypes)}


def restored_layout(state: Mapping[str, Any], blocks: Sequence[Block]) -> Layout:
    """The layout that `saved_layout` wrote down, each parameter on its block's device."""
    names = tuple(state["names"])
    devices = {name: block.device for block in blocks for name in block.names}
    return Layout(
        names,
        tuple(map(torch.Size, state["shapes"])),
        tuple(state["dtypes"]),
        tuple(devices[name] for name in names),
    )
