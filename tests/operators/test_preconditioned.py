"""Curvature in the coordinates of an adaptive optimizer."""

import pytest
import torch

from thalweg.operators import Hessian, Matrix, Preconditioned, adam_preconditioner


def test_has_the_eigenvalues_of_the_inverse_preconditioner_times_the_matrix():
    a = torch.randn(6, 6, dtype=torch.float64)
    p = torch.rand(6, dtype=torch.float64) + 0.1
    operator = Preconditioned(Matrix(a + a.T), p)
    expected = torch.linalg.eigvals(torch.linalg.solve(torch.diag(p), a + a.T)).real.sort().values
    torch.testing.assert_close(torch.linalg.eigvalsh(operator.to_dense()), expected)


def test_keeps_what_is_known():
    inner = Matrix(torch.eye(2), facts=frozenset({"psd"}))
    assert Preconditioned(inner, torch.ones(2)).facts == {"psd"}
    assert Preconditioned(inner, torch.ones(2)).name == "Preconditioned Matrix"


def test_closing_the_hessian_closes_it_too():
    h = Hessian(lambda p: (p["w"] ** 2).sum(), {"w": torch.ones(2)})
    operator = Preconditioned(h, torch.tensor([4.0, 1.0]))
    assert operator.to_dense().tolist() == [[0.5, 0], [0, 2]]
    h.close()
    with pytest.raises(RuntimeError, match="after close"):
        operator @ torch.ones(2)


@pytest.mark.parametrize("entry", [0.0, -1.0, float("nan"), float("inf")])
def test_refuses_a_diagonal_that_is_not_positive(entry):
    with pytest.raises(ValueError, match=r"1 of 2 entries .* not positive"):
        Preconditioned(Matrix(torch.eye(2)), torch.tensor([1.0, entry]))


def test_refuses_another_shape():
    with pytest.raises(ValueError, match=r"Matrix is 2 x 2; the diagonal has shape \(3,\)"):
        Preconditioned(Matrix(torch.eye(2)), torch.ones(3))


@pytest.mark.parametrize("steps", [1, 2, 30])
def test_adams_step_is_lr_times_momentum_over_the_preconditioner(steps):
    p = torch.nn.Parameter(torch.randn(5, dtype=torch.float64))
    adam = torch.optim.Adam([p], lr=0.1, betas=(0.8, 0.95), eps=1e-3)
    for _ in range(steps):
        before = p.detach().clone()
        p.grad = torch.randn(5, dtype=torch.float64)
        adam.step()
    state = adam.state[p]
    diagonal = adam_preconditioner(
        state["exp_avg_sq"], step=int(state["step"]), betas=(0.8, 0.95), eps=1e-3
    )
    torch.testing.assert_close(before - p.detach(), 0.1 * state["exp_avg"] / diagonal)


def test_adam_counts_from_one():
    with pytest.raises(ValueError, match="first step is number 1"):
        adam_preconditioner(torch.ones(1), step=0)
