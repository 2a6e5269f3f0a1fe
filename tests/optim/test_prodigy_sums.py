"""Prodigy's sums over all coordinates are made by rows, and are the sums of the whole."""

import importlib

import pytest
import torch

# The package shows the rule by this name, in place of its module.
prodigy = importlib.import_module("thalweg.optim.rules.prodigy")

SHAPES = {
    "no dimensions": lambda: torch.randn(()),
    "nothing": lambda: torch.randn(0, 3),
    "one long row": lambda: torch.randn(1, 50),
    "rows": lambda: torch.randn(11, 7),
    "four axes, channels last": lambda: torch.randn(5, 4, 3, 2).to(
        memory_format=torch.channels_last
    ),
    "transposed": lambda: torch.randn(6, 9).T,
    "half precision": lambda: torch.randn(13, 4).bfloat16(),
    "complex": lambda: torch.randn(6, 3, dtype=torch.complex64),
}


def reals(x: torch.Tensor) -> list[float]:
    """All real numbers in a tensor, in double precision."""
    whole = torch.view_as_real(x) if x.is_complex() else x
    return whole.double().flatten().tolist()


@pytest.mark.parametrize("piece", [1, 8, 1 << 18])
@pytest.mark.parametrize("name", SHAPES)
def test_pieces_hold_every_number_once(name, piece, monkeypatch):
    monkeypatch.setattr(prodigy, "PIECE", piece)
    torch.manual_seed(0)
    tensors = [SHAPES[name](), SHAPES["rows"]()]
    pieces = list(prodigy._pieces(tensors))
    assert all(x.dtype == torch.float32 for x in pieces)
    together = sorted(number for x in pieces for number in reals(x))
    assert together == sorted(number for x in tensors for number in reals(x))


def test_pieces_of_a_large_tensor_are_small(monkeypatch):
    monkeypatch.setattr(prodigy, "PIECE", 64)
    pieces = list(prodigy._pieces([torch.zeros(100, 16)]))
    assert max(x.numel() for x in pieces) == 64
    assert len(pieces) == 25
