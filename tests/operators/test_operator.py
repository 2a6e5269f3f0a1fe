"""What every operator does with vectors, and how it refuses them."""

import pytest
import torch

from thalweg.operators import Hessian, Matrix, Preconditioned
from thalweg.operators.operator import checked_facts


def symmetric(n=5):
    a = torch.randn(n, n, dtype=torch.float64)
    return a + a.T


OPERATORS = {
    "Matrix": lambda: Matrix(symmetric(20)),
    "Hessian": lambda: Hessian(
        lambda p: (p["w"] ** 4).sum(), {"w": torch.randn(20, dtype=torch.float64)}
    ),
    "Preconditioned Matrix": lambda: Preconditioned(
        Matrix(symmetric(20)), torch.rand(20, dtype=torch.float64) + 0.1
    ),
}
every_operator = pytest.mark.parametrize("name", OPERATORS)


@every_operator
def test_a_matrix_is_multiplied_column_by_column(name):
    a, v = OPERATORS[name](), torch.randn(20, 3, dtype=torch.float64)
    torch.testing.assert_close(a @ v, torch.stack([a @ v[:, i] for i in range(3)], 1))
    assert (a @ v[:, :0]).shape == (20, 0)
    assert a.shape == (20, 20)


@every_operator
def test_products_are_symmetric_and_linear(name):
    a = OPERATORS[name]()
    u, v = torch.randn(2, 20, dtype=torch.float64)
    torch.testing.assert_close(u @ (a @ v), v @ (a @ u))
    torch.testing.assert_close(a @ (u - 2 * v), a @ u - 2 * (a @ v))


@every_operator
def test_says_what_is_wrong_with_a_vector(name):
    a = OPERATORS[name]()
    with pytest.raises(ValueError, match=rf"^{name} is 20 x 20; got a vector of shape \(3,\)"):
        a @ torch.ones(3, dtype=torch.float64)
    with pytest.raises(ValueError, match=rf"^{name} is 20 x 20; got a matrix of shape \(3, 20\)"):
        a @ torch.ones(3, 20, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"shape \(\)"):
        a @ torch.tensor(1.0, dtype=torch.float64)
    with pytest.raises(TypeError, match=r"v\.to\(torch\.float64\)"):
        a @ torch.ones(20, dtype=torch.float32)
    with pytest.raises(TypeError, match="v is a list; give a"):
        a @ [1.0] * 20
    with pytest.raises(ValueError, match=r"on cpu; got a vector on meta.*v\.to\('cpu'\)"):
        a @ torch.ones(20, dtype=torch.float64, device="meta")


def test_a_matrix_is_itself():
    entries = symmetric()
    operator = Matrix(entries, facts=frozenset({"psd"}))
    torch.testing.assert_close(operator.to_dense(), entries)
    assert repr(operator) == "<Matrix 5 x 5, torch.float64, psd>"
    entries.zero_()
    assert float(operator.to_dense().abs().max()) > 0


BAD_ENTRIES = {
    "not square": (torch.ones(2, 3), r"shape \(2, 3\)"),
    "empty": (torch.ones(0, 0), r"shape \(0, 0\)"),
    "a vector": (torch.ones(3), r"shape \(3,\)"),
    "integers": (torch.ones(2, 2, dtype=torch.int64), "torch.int64"),
    "not symmetric": (torch.tensor([[1.0, 2.0], [2.1, 1.0]]), r"0\.1.*\(A \+ A\.T\) / 2"),
}


@pytest.mark.parametrize(("entries", "says"), BAD_ENTRIES.values(), ids=BAD_ENTRIES)
def test_refuses_what_is_no_symmetric_matrix(entries, says):
    with pytest.raises(ValueError, match=says):
        Matrix(entries)


def test_unknown_facts_are_refused():
    assert checked_facts({"psd"}) == {"psd"}
    with pytest.raises(ValueError, match=r"\['spd'\].*\['psd'\]"):
        Matrix(torch.eye(2), facts=frozenset({"spd"}))
