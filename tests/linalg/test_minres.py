"""MINRES and conjugate residuals: least residuals, and the curvature along them."""

import pytest
import torch
from spectra import Counting
from systems import krylov_basis, line, operator_of, powers, vector

from thalweg.linalg import cr, minres
from thalweg.linalg.minres import Rotation, column, recursion
from thalweg.linalg.preconditioning import identity
from thalweg.linalg.products import Shifted

DEFINITE = {"even": line(1, 30, 40), "geometric": powers(-3, 0, 40)}
INDEFINITE = {"indefinite": line(-3, 5, 40), "about zero": [*line(-2, -1, 20), *line(1, 2, 20)]}
ITERATES = [(cr, v) for v in DEFINITE.values()] + [
    (minres, v) for v in [*DEFINITE.values(), *INDEFINITE.values()]
]


def steps(solver, a, b, k, **options):
    """The k-th iterate: k products and the two that check it."""
    return solver(a, b, tol=1e-15, normal_tol=1e-15, max_products=k + 2, **options)


@pytest.mark.parametrize("solver, values", ITERATES)
def test_each_residual_is_the_least_of_its_krylov_space(solver, values):
    a, b = operator_of(values), vector(len(values))
    dense = a.to_dense()
    for k in range(1, 12):
        v = krylov_basis(dense, b, k)
        least = v @ torch.linalg.lstsq(dense @ v, b[:, None]).solution[:, 0]
        found = steps(solver, a, b, k)
        assert len(found.history) == k + 1
        torch.testing.assert_close(found.x, least, rtol=1e-7, atol=1e-8)
        assert found.history[-1] == pytest.approx(float((b - dense @ least).norm()), rel=1e-8)


@pytest.mark.parametrize("values", [*DEFINITE.values(), *INDEFINITE.values()])
def test_what_a_column_says_of_the_residual_is_so(values):
    """|A r| / |r| and r'A r / r'r for the residual before the step, from the rotations alone."""
    a, b = operator_of(values), vector(len(values))
    dense = a.to_dense()
    last = Rotation()
    found = recursion(Shifted(a, 0.0), identity, b)
    for k, step in zip(range(10), found, strict=False):
        x = steps(minres, a, b, k).x if k else torch.zeros_like(b)
        r = b - dense @ x
        now = column(last, step.alpha, step.beta)
        assert now.normal == pytest.approx(float((dense @ r).norm() / r.norm()), rel=1e-6)
        assert now.curvature == pytest.approx(float(r @ dense @ r / (r @ r)), rel=1e-5, abs=1e-7)
        c, s = now.rotation
        last = Rotation(c, s, -last.c * step.beta, last.s * step.beta)


class TestNegativeCurvature:
    solvers = pytest.mark.parametrize(
        "solver, option", [(minres, "stop_at_negative_curvature"), (cr, "allow_indefinite")]
    )

    @solvers
    @pytest.mark.parametrize("lowest", [-3.0, -0.1, -1e-3])
    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
    def test_is_found_and_proved(self, solver, option, lowest, dtype):
        for seed in range(10):
            a = operator_of([lowest, *line(1, 3, 30)], seed, dtype)
            b = vector(31, seed, dtype)
            found = solver(a, b, tol=1e-6, **{option: True})
            dense, d = a.to_dense().double(), found.direction
            assert found.status == "negative curvature"
            v = d.vector.double()
            assert d.negative
            assert abs(float(v @ dense @ v) - d.value) <= d.error
            assert float(v @ dense @ v) < 0
            assert float(v.norm()) == pytest.approx(1, abs=1e-6)
            r = b.double() - dense @ found.x.double()
            assert float(v @ r) == pytest.approx(float(r.norm()), rel=1e-2)

    @solvers
    def test_is_found_at_the_first_residual_that_shows_it(self, solver, option):
        for seed in range(10):
            a, b = operator_of([-0.1, *line(1, 3, 30)], seed), vector(31, seed)
            dense = a.to_dense()
            found = solver(a, b, **{option: True})
            for k in range(len(found.history)):
                v = krylov_basis(dense, b, k) if k else b[:, None]
                y = torch.linalg.lstsq(dense @ v, b[:, None]).solution[:, 0]
                r = b - dense @ (v @ y) if k else b
                assert (float(r @ dense @ r) < 0) == (k == len(found.history) - 1)

    @solvers
    def test_is_never_claimed_of_a_semidefinite_operator(self, solver, option):
        for seed in range(30):
            dtype = torch.float32 if seed % 2 else torch.float64
            values = [*[0.0] * (seed % 9), *powers(-(seed % 5), 0, 25)]
            a = operator_of(values, seed, dtype, facts=frozenset())
            found = solver(a, vector(a.size, seed, dtype), tol=1e-13, **{option: True})
            assert found.status != "negative curvature"
            assert found.direction is None or not found.direction.negative

    @solvers
    def test_with_a_preconditioner_is_along_the_preconditioned_residual(self, solver, option):
        a, b = operator_of([-0.1, *line(1, 3, 30)]), vector(31)
        scale = line(0.5, 2, 31)
        found = solver(a, b, preconditioner=lambda r: scale * r, **{option: True})
        v = found.direction.vector
        assert found.status == "negative curvature"
        assert float(v @ (a @ v)) == pytest.approx(found.direction.value, abs=1e-12)
        z = scale * (b - a @ found.x)
        assert float(v @ z) == pytest.approx(float(z.norm()), rel=1e-6)

    def test_is_passed_by_where_minres_is_to_solve(self):
        a, b = operator_of([-0.1, *line(1, 3, 30)]), vector(31)
        assert minres(a, b).status == "converged"

    @solvers
    def test_takes_its_products_into_account(self, solver, option):
        a = Counting(operator_of([-0.1, *line(1, 3, 30)]))
        found = solver(a, vector(31), **{option: True})
        assert found.products == a.count <= len(found.history) + 2


@pytest.mark.parametrize("solver", [minres, cr])
@pytest.mark.parametrize("small, dtype", [(-8, torch.float64), (-4, torch.float32)])
def test_an_ill_conditioned_system_is_not_called_inconsistent(solver, small, dtype):
    """|A r| / |r| passes below the tolerance where only small eigenvalues are left."""
    for seed in range(20):
        values = [*powers(small, small + 1, 3), *line(0.5, 1, 30)]
        a, b = operator_of(values, seed, dtype), vector(33, seed, dtype)
        assert solver(a, b, tol=1e-3, max_products=300).status == "converged"
