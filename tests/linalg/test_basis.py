"""Gram-Schmidt and the norm, where floating point makes them hard."""

import math

import pytest
import torch

from thalweg.linalg.basis import Basis, norm


def filled(count, size, dtype=torch.float64):
    basis = Basis(size, dtype=dtype, device=torch.device("cpu"))
    for _ in range(count):
        vector, _ = basis.orthogonalized(torch.randn(size, dtype=dtype))
        basis.append(vector / norm(vector))
    return basis


def test_grows_beyond_its_first_capacity_up_to_the_whole_space():
    v = filled(40, 40).to_dense()
    torch.testing.assert_close(v @ v.T, torch.eye(40, dtype=v.dtype), rtol=0, atol=1e-13)


def test_takes_apart_and_puts_together():
    basis, x = filled(5, 9), torch.randn(9, dtype=torch.float64)
    rest, coefficients = basis.orthogonalized(x)
    torch.testing.assert_close(basis.combined(coefficients) + rest, x)
    torch.testing.assert_close(coefficients, basis.to_dense() @ x)
    assert len(basis) == 5


@pytest.mark.parametrize("share", [1.0, 1e-6, 1e-12])
def test_what_is_left_is_orthogonal_however_little_it_is(share):
    basis = filled(30, 60)
    inside = basis.combined(torch.randn(30, dtype=torch.float64))
    rest, _ = basis.orthogonalized(inside + share * torch.randn(60, dtype=torch.float64))
    assert float((basis.to_dense() @ rest).abs().max()) <= 1e-14 * norm(rest) / min(1.0, 10 * share)


@pytest.mark.parametrize("scale", [1.0, 1e30, 1e-30, 0.0])
def test_norm_neither_overflows_nor_underflows(scale):
    vector = torch.tensor([3.0, -4.0]) * scale
    assert norm(vector) == pytest.approx(5 * scale, rel=1e-6)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_norm_is_not_finite_where_an_entry_is_not(value):
    assert not math.isfinite(norm(torch.tensor([1.0, value])))
