"""Inner products against float64's."""

import pytest
import torch

from thalweg.minimize.inner_product import ADDED_AT_ONCE, dot, length


@pytest.mark.parametrize("size", [1, ADDED_AT_ONCE, ADDED_AT_ONCE + 1, 3_000_000])
def test_float32_keeps_its_digits(size):
    generator = torch.Generator().manual_seed(size)
    left, right = torch.rand(2, size, generator=generator)
    exact = float((left.double() * right.double()).sum())
    assert dot(left, right) == pytest.approx(exact, rel=2e-6)


def test_the_length_is_that_of_the_vector():
    assert length(torch.tensor([3.0, 4.0])) == 5.0
