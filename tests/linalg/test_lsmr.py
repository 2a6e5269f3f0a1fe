"""LSMR on maps of any shape and rank, against torch.linalg.lstsq and pinv."""

import math

import pytest
import torch
from systems import Rectangular, krylov_basis, line, operator_of, vector

from thalweg.linalg import cg, lsmr


def matrix(m, n, singular_values, seed=0):
    u, _ = torch.linalg.qr(vector(m * m, seed).reshape(m, m))
    v, _ = torch.linalg.qr(vector(n * n, seed + 1).reshape(n, n))
    k = len(singular_values)
    return u[:, :k] @ torch.diag(torch.as_tensor(singular_values, dtype=u.dtype)) @ v[:, :k].T


MATRICES = {
    "tall": (40, 20, line(1, 5, 20)),
    "wide": (20, 40, line(1, 5, 20)),
    "square": (30, 30, line(1, 5, 30)),
    "tall, rank-deficient": (40, 20, line(1, 5, 12)),
    "wide, rank-deficient": (20, 40, line(1, 5, 12)),
    "ill-conditioned": (40, 20, [1e-3, *line(0.5, 1, 19)]),
    "a row": (1, 30, [2.0]),
    "a column": (30, 1, [2.0]),
    "one": (1, 1, [2.0]),
}
every_matrix = pytest.mark.parametrize("shape", MATRICES.values(), ids=MATRICES)


@every_matrix
@pytest.mark.parametrize("damping", [0.0, 0.01, 3.0])
@pytest.mark.parametrize("consistent", [True, False])
def test_finds_the_shortest_of_the_least_squares_solutions(shape, damping, consistent):
    a = matrix(*shape)
    b = a @ vector(shape[1], 7) if consistent else vector(shape[0], 8)
    found = lsmr(Rectangular(a), b, damping=damping, tol=1e-11)
    tall = torch.cat([a, math.sqrt(damping) * torch.eye(shape[1], dtype=a.dtype)])
    exact = torch.linalg.pinv(tall, rtol=1e-10) @ torch.cat([b, torch.zeros_like(found.x)])
    assert found.status in ("converged", "least squares")
    torch.testing.assert_close(found.x, exact, rtol=0, atol=1e-6 * float(exact.norm()))
    residual = (b - a @ found.x).square().sum() + damping * found.x.square().sum()
    assert found.residual == pytest.approx(math.sqrt(float(residual)), rel=1e-6, abs=1e-9)
    if damping:
        assert float((found.x - exact).norm()) <= found.error


@every_matrix
def test_says_whether_the_system_was_consistent(shape):
    a = matrix(*shape)
    inside, outside = a @ vector(shape[1], 7), vector(shape[0], 8)
    assert lsmr(Rectangular(a), inside, tol=1e-9).status == "converged"
    found = lsmr(Rectangular(a), outside, tol=1e-9)
    r = outside - a @ found.x
    if len(shape[2]) == shape[0]:
        assert found.status == "converged"
    else:
        normal = float((a.T @ r).norm() / r.norm())
        assert found.status == "least squares"
        assert found.normal_residual <= 1e-9
        assert normal / float(torch.linalg.matrix_norm(a, 2)) <= 1e-9 * (1 + 1e-6)


def test_each_iterate_has_the_least_normal_residual_of_its_space():
    a, b = matrix(40, 30, line(1, 9, 30)), vector(40)
    for k in range(1, 9):
        v = krylov_basis(a.T @ a, a.T @ b, k)
        least = v @ torch.linalg.lstsq(a.T @ a @ v, (a.T @ b)[:, None]).solution[:, 0]
        found = lsmr(Rectangular(a), b, tol=1e-15, max_products=2 * k + 3)
        assert len(found.history) == k + 1
        torch.testing.assert_close(found.x, least, rtol=1e-8, atol=1e-9)
        assert found.history[-1] == pytest.approx(float((b - a @ least).norm()), rel=1e-9)


def test_products_with_the_map_and_its_transpose_are_counted_alike():
    a, count = Rectangular(matrix(40, 20, line(1, 5, 20))), [0]
    plain, transposed = a._product, a._transposed_product

    def counted(product):
        def call(v):
            count[0] += 1
            return product(v)

        return call

    a._product, a._transposed_product = counted(plain), counted(transposed)
    for budget in (2, 5, 6, 9, 10, 400):
        count[0] = 0
        assert lsmr(a, vector(40), tol=1e-9, max_products=budget).products == count[0] <= budget


def test_damping_is_that_of_conjugate_gradients_on_the_normal_equations():
    a, b = matrix(40, 20, line(1, 5, 20)), vector(40)
    normal = operator_of([1.0] * 20)
    normal._entries = a.T @ a
    for damping in (0.1, 10.0):
        expected = cg(normal, a.T @ b, damping=damping, tol=1e-12).x
        found = lsmr(Rectangular(a), b, damping=damping, tol=1e-12).x
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-9)


def test_its_bound_on_a_least_squares_solution_is_by_the_normal_residual():
    """|r| is large where the system is inconsistent, and says nothing of the error."""
    for seed in range(30):
        a, b = matrix(40, 20, line(0.5, 5, 20), seed), vector(40, seed)
        exact = torch.linalg.pinv(a) @ b
        found = lsmr(Rectangular(a), b, tol=10.0 ** -(3 + seed % 7), gap=0.5 * (1 - 1e-12))
        error = float((found.x - exact).norm())
        assert found.status == "least squares"
        assert error <= found.error < 0.5 * found.residual / 0.5
