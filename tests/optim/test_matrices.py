"""Matrix functions that rules share, against closed forms, and layers of length zero."""

import pytest
import torch
from optim_cases import after
from torch.testing import assert_close

from thalweg.optim import RULES
from thalweg.optim.matrices import eigenbasis, inverse_root, refreshed

NEAR = {"rtol": 1e-12, "atol": 1e-14}
ANGLE = torch.tensor(0.3, dtype=torch.float64)
TURN = torch.stack(
    [torch.stack([ANGLE.cos(), -ANGLE.sin()]), torch.stack([ANGLE.sin(), ANGLE.cos()])]
)


def vector(*entries):
    return torch.tensor(entries, dtype=torch.float64)


@pytest.mark.parametrize("root", [2, 4])
def test_an_inverse_root_is_that_of_each_eigenvalue(root):
    x = TURN @ torch.diag(vector(16.0, 81.0)) @ TURN.T
    powers = vector(16 ** (-1 / root), 81 ** (-1 / root))
    assert_close(inverse_root(x, root), TURN @ torch.diag(powers) @ TURN.T, **NEAR)


@pytest.mark.parametrize("v", [vector(1.0, 2.0), vector(1.0, 2.0, 3.0, 1e-3), vector(0.0, 0.0)])
def test_directions_that_a_matrix_does_not_see_go_to_zero(v):
    square = float(v @ v)
    expected = torch.outer(v, v) * (square**-1.25 if square else 0.0)
    assert_close(inverse_root(torch.outer(v, v), 4), expected, **NEAR)


def test_an_eigenbasis_has_the_largest_eigenvalue_first():
    x = TURN @ torch.diag(vector(1.0, 5.0)) @ TURN.T
    basis = eigenbasis(x)
    assert_close(basis.T @ x @ basis, torch.diag(vector(5.0, 1.0)), **NEAR)
    assert_close(basis.T @ basis, torch.eye(2, dtype=torch.float64), **NEAR)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_matrix_that_is_not_finite_is_passed_on_as_nan(bad):
    x = torch.eye(3, dtype=torch.float64)
    x[1, 1] = bad
    assert inverse_root(x, 4).isnan().all()
    assert eigenbasis(x).isnan().all()


def test_a_refreshed_basis_is_in_the_order_of_its_eigenvalues_and_says_so():
    x = torch.diag(vector(1.0, 9.0, 4.0))
    basis, order = refreshed(x, torch.eye(3, dtype=torch.float64))
    assert order.tolist() == [1, 2, 0]
    assert_close(basis.abs(), torch.eye(3, dtype=torch.float64)[:, order], **NEAR)


def test_lamb_moves_weights_that_are_zero():
    g = vector(3.0, -0.5)
    moved = after(RULES["lamb"], torch.zeros_like(g), [g], lr=0.1, eps=0.0)
    assert_close(moved, vector(-0.1, 0.1), **NEAR)


def test_lars_decays_by_the_rate_alone_where_the_gradient_is_zero():
    p = vector(3.0, 4.0)
    hyper = {"lr": 0.5, "momentum": 0.0, "weight_decay": 0.1}
    assert_close(after(RULES["lars"], p, [torch.zeros_like(p)], **hyper), 0.95 * p, **NEAR)
