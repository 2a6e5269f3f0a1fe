"""What a sample is known by: a number made of its own content, the same in every run.

The bits of a row are multiplied by fixed odd numbers and summed, all modulo 2^64, so that the key
depends neither on the batch that the row comes in nor on the order of the sum, as a product of
floating-point numbers would. The steps that follow mix the bits (Steele, Lea & Flood, Fast
splittable pseudorandom number generators, 2014: the finalizer of SplitMix64).

Cost: one pass over at most 256 evenly spaced numbers of each row.
"""

from __future__ import annotations

from functools import cache

import torch

MOST_NUMBERS = 256
BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
# The odd multiplier of SplitMix64's sequence and the two of its finalizer, as signed numbers.
GOLDEN, FIRST, SECOND = -0x61C8864680B583EB, -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15
GRAIN = 1 << 20  # parts into which all keys are divided when some of them are chosen


def row_keys(data: torch.Tensor) -> torch.Tensor:
    """A key for each row of the data, shape (rows,), int64; equal rows have equal keys."""
    rows = _bits(data.detach()).reshape(len(data), -1)
    rows = rows[:, :: -(-rows.shape[1] // MOST_NUMBERS) or 1].to(torch.int64)
    weights = _weights(rows.shape[1]).to(rows.device)
    return mixed((rows * weights).sum(1) + GOLDEN).cpu()  # a row of zeros is no special one


def joined(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """The keys of pairs; the order matters."""
    return mixed(left * GOLDEN + right)


def chosen(keys: torch.Tensor, share: float) -> torch.Tensor:
    """Which keys belong to a fixed ``share`` of all keys; a larger share contains a smaller one."""
    return _shifted(mixed(keys), 64 - 20) < round(share * GRAIN)


def mixed(keys: torch.Tensor) -> torch.Tensor:
    """Keys of which every bit depends on every bit of the old ones."""
    keys = (keys ^ _shifted(keys, 30)) * FIRST
    keys = (keys ^ _shifted(keys, 27)) * SECOND
    return keys ^ _shifted(keys, 31)


def _shifted(keys: torch.Tensor, by: int) -> torch.Tensor:
    """To the right, with zeros coming in: PyTorch's own shift keeps the sign."""
    return (keys >> by) & ((1 << (64 - by)) - 1)


def _bits(data: torch.Tensor) -> torch.Tensor:
    """The data as whole numbers: those of numbers with a point are their bits."""
    if data.is_complex():
        data = torch.view_as_real(data.resolve_conj())
    if data.is_floating_point():
        return data.contiguous().view(BITS[data.element_size()])
    return data


@cache
def _weights(count: int) -> torch.Tensor:
    return mixed(torch.arange(1, count + 1, device="cpu") * GOLDEN) | 1
