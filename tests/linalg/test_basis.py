"""Gram-Schmidt and the norm, where floating point makes them hard."""

import math

import pytest
import torch

from thalweg.linalg.basis import Basis, dots, norm


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


@pytest.mark.parametrize(("size", "count", "kept"), [(40, 40, 7), (3000, 150, 20), (9, 5, 5)])
def test_rotates_in_place(size, count, kept):
    """Several pages, and entries enough for several rounds."""
    basis = filled(count, size)
    before = basis.to_dense()
    weights, _ = torch.linalg.qr(torch.randn(count, kept, dtype=torch.float64))
    basis.rotate(weights)
    assert len(basis) == kept
    torch.testing.assert_close(basis.to_dense(), weights.T @ before)
    x = torch.randn(size, dtype=torch.float64)
    rest, _ = basis.orthogonalized(x)
    torch.testing.assert_close(rest, x - before.T @ (weights @ (weights.T @ (before @ x))))


def test_grows_again_after_a_rotation():
    basis = filled(30, 60)
    basis.rotate(torch.eye(30, dtype=torch.float64)[:, :4])
    for _ in range(20):
        vector, _ = basis.orthogonalized(torch.randn(60, dtype=torch.float64))
        basis.append(vector / norm(vector))
    v = basis.to_dense()
    torch.testing.assert_close(v @ v.T, torch.eye(24, dtype=v.dtype), rtol=0, atol=1e-13)


def test_allocates_no_more_than_a_page_ahead_and_never_beyond_its_capacity():
    large = 1_000_000  # of which a page has its least rows, 8
    basis = Basis(large, dtype=torch.float32, device=torch.device("cpu"), capacity=11)
    allocated = []
    for i in range(11):
        vector = torch.zeros(large)
        vector[i] = 1
        basis.append(vector)
        allocated.append(basis.allocated)
    assert allocated == [8] * 8 + [11] * 3
    with pytest.raises(ValueError, match="11 vectors, its capacity"):
        basis.append(vector)


@pytest.mark.parametrize("size", [1, 4095, 4096, 4097, 3_000_000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dots_and_norms_of_long_vectors_keep_their_digits(size, dtype):
    """Of one sign, where the errors of a running sum do not cancel."""
    rows, vector = torch.rand(3, size, dtype=dtype), torch.rand(size, dtype=dtype)
    exact = (rows.double() * vector.double()).sum(1)
    rtol = 1e-6 if dtype == torch.float32 else 1e-14
    torch.testing.assert_close(dots(rows, vector), exact, rtol=rtol, atol=0)
    length = math.sqrt(float(vector.double().square().sum()))
    assert norm(vector) == pytest.approx(length, rel=rtol)
    columns = torch.stack([vector, vector], 1)  # a vector that does not lie in one piece
    torch.testing.assert_close(dots(rows, columns[:, 1]), exact, rtol=rtol, atol=0)
    assert norm(columns[:, 1]) == pytest.approx(length, rel=rtol)
