"""Conjugate gradients: what the textbook says of them, the trust region, and negative curvature."""

import math

import pytest
import torch
from spectra import Counting
from systems import PSD, krylov_basis, line, operator_of, powers, vector

from thalweg.linalg import cg
from thalweg.operators import Matrix

SPECTRA = {
    "even": line(1, 30, 40),
    "geometric": powers(-3, 0, 40),
    "outliers": [*line(0.5, 1.5, 40), 4.0, 8.0],
}
every_spectrum = pytest.mark.parametrize("values", SPECTRA.values(), ids=SPECTRA)


def steps(a, b, k, **options):
    """The k-th iterate: k products and the one that checks it."""
    return cg(a, b, tol=1e-15, max_products=k + 1, **options)


def energy(dense, error):
    return math.sqrt(max(float(error @ dense @ error), 0.0))


@every_spectrum
def test_each_iterate_is_the_nearest_of_its_krylov_space(values):
    a, b = operator_of(values), vector(len(values))
    dense = a.to_dense()
    for k in range(1, 8):  # later rounding shows, once an outlier has converged
        v = krylov_basis(dense, b, k)
        nearest = v @ torch.linalg.solve(v.T @ dense @ v, v.T @ b)
        torch.testing.assert_close(steps(a, b, k).x, nearest, rtol=1e-8, atol=1e-9)


@every_spectrum
def test_the_error_falls_as_the_textbook_says(values):
    """|e_k|_A <= 2 ((sqrt kappa - 1) / (sqrt kappa + 1))^k |e_0|_A, and at every step."""
    a, b = operator_of(values), vector(len(values))
    dense = a.to_dense()
    exact = torch.linalg.solve(dense, b)
    eigenvalues = torch.linalg.eigvalsh(dense)
    root = math.sqrt(float(eigenvalues[-1] / eigenvalues[0]))
    errors = [energy(dense, exact)]
    errors += [energy(dense, exact - steps(a, b, k).x) for k in range(1, 40)]
    for k, error in enumerate(errors):
        assert error <= 2 * ((root - 1) / (root + 1)) ** k * errors[0] + 1e-13
        assert k == 0 or error <= errors[k - 1] + 1e-13


@pytest.mark.parametrize("n", [1, 2, 5, 12])
def test_n_steps_end_it(n):
    a, b = operator_of(line(1, 3, n)), vector(n)
    found = cg(a, b, tol=1e-10)
    assert found.status == "converged"
    assert len(found.history) - 1 <= n


@pytest.mark.parametrize("distinct", [1, 3, 6])
def test_as_many_steps_as_distinct_eigenvalues(distinct):
    found = cg(operator_of([*line(1, 2, distinct)] * 8), vector(8 * distinct), tol=1e-10)
    assert len(found.history) - 1 == distinct


class TestEnergy:
    def errors(self, seed):
        values = powers(-(seed % 4) - 1.0, 0, 40)
        a, b = operator_of(values, seed), vector(40, seed + 50)
        dense = a.to_dense()
        exact = torch.linalg.solve(dense, b)
        gap = float(torch.linalg.eigvalsh(dense)[0]) * (1 - 1e-10)
        return a, b, gap, lambda x: energy(dense, exact - x)

    def test_the_estimate_is_the_fall_over_the_last_ten_steps(self):
        for seed in range(4):
            a, b, _, error = self.errors(seed)
            for k in (3, 10, 17):
                found, earlier = steps(a, b, k), steps(a, b, max(k - 10, 0))
                fall = error(earlier.x) ** 2 - error(found.x) ** 2
                assert found.energy_error == pytest.approx(math.sqrt(fall), rel=1e-6)

    def test_the_bound_covers_over_many_problems(self):
        """At any step, with a gap that is sharp, loose, or the damping's."""
        for seed in range(25):
            a, b, gap, error = self.errors(seed)
            for k in (1, 20, 45):
                for share in (1.0, 0.1):
                    found = steps(a, b, k, gap=share * gap)
                    assert error(found.x) <= found.energy_bound

    def test_the_bound_with_a_sharp_gap_is_near(self):
        a, b, gap, error = self.errors(1)
        found = steps(a, b, 30, gap=gap)
        assert found.energy_bound <= 3 * error(found.x)

    def test_the_bound_is_better_than_the_residuals(self):
        a, b, gap, _ = self.errors(2)
        found = steps(a, b, 30, gap=gap)
        assert found.energy_bound < 0.7 * found.residual / math.sqrt(gap)

    def test_the_bound_counts_the_rounding_of_single_precision(self):
        for seed in range(10):
            values = powers(-3, 0, 40)
            a = operator_of(values, seed, dtype=torch.float32)
            b, dense = vector(40, seed, torch.float32), a.to_dense().double()
            exact = torch.linalg.solve(dense, b.double())
            gap = float(torch.linalg.eigvalsh(dense)[0]) * (1 - 1e-6)
            found = cg(a, b, tol=1e-6, gap=gap, max_products=400)
            assert energy(dense, exact - found.x.double()) <= found.energy_bound
            assert float((exact - found.x.double()).norm()) <= found.error

    def test_damping_gives_both_bounds(self):
        a, b = operator_of(line(0, 5, 30)), vector(30)
        dense = a.to_dense() + 0.1 * torch.eye(30, dtype=torch.float64)
        exact = torch.linalg.solve(dense, b)
        found = cg(a, b, damping=0.1, tol=1e-4)
        assert energy(dense, exact - found.x) <= found.energy_bound
        assert float((exact - found.x).norm()) <= found.error

    def test_a_preconditioner_leaves_the_residuals_bound(self):
        a, b, gap, error = self.errors(2)
        diagonal = 1e-4 / a.to_dense().diagonal()  # any scale will do
        for k in (2, 10, 40):
            found = steps(a, b, k, gap=gap, preconditioner=lambda r: diagonal * r)
            assert error(found.x) <= found.energy_bound


class TestRadius:
    def test_ends_on_the_boundary_between_two_iterates(self):
        a, b = operator_of(line(1, 30, 40)), vector(40)
        for k in range(6):
            inner = steps(a, b, k).x
            outer = steps(a, b, k + 1).x
            radius = (float(inner.norm()) + float(outer.norm())) / 2
            found = cg(a, b, radius=radius, tol=1e-12)
            assert found.status == "boundary"
            assert float(found.x.norm()) == pytest.approx(radius, rel=1e-12)
            share = (found.x - inner) @ (outer - inner) / (outer - inner).square().sum()
            torch.testing.assert_close(found.x, inner + share * (outer - inner))
            assert 0 < float(share) < 1

    def test_is_not_felt_inside(self):
        a, b = operator_of(line(1, 30, 40)), vector(40)
        free = cg(a, b)
        found = cg(a, b, radius=2 * float(free.x.norm()))
        assert found.status == "converged"
        assert torch.equal(found.x, free.x)

    @pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
    def test_negative_curvature_is_followed_to_it(self, scale):
        a, b = operator_of([-1.0, *line(1, 3, 20)]), vector(21) * scale
        found = cg(a, b, radius=5 * scale, allow_indefinite=True)
        assert found.status == "negative curvature"
        assert float((found.x / scale).norm()) == pytest.approx(5, rel=1e-12)
        inside = cg(a, b, allow_indefinite=True)
        model = lambda x: float(0.5 * x @ (a @ x) - (b / scale) @ x)
        assert model(found.x / scale) < model(inside.x / scale)
        ahead = (found.x - inside.x) / scale
        assert float(ahead @ found.direction.vector) == pytest.approx(float(ahead.norm()))

    def test_a_flat_direction_ends_on_it_too(self):
        found = cg(operator_of([0.0] * 5), vector(5), radius=3.0)
        assert found.status == "boundary"
        assert float(found.x.norm()) == pytest.approx(3)
        assert not found.direction.negative


class TestNegativeCurvature:
    @pytest.mark.parametrize("lowest", [-3.0, -0.1, -1e-3])
    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
    def test_is_found_and_proved(self, lowest, dtype):
        for seed in range(10):
            a = operator_of([lowest, *line(1, 3, 30)], seed, dtype)
            found = cg(a, vector(31, seed, dtype), tol=1e-6, allow_indefinite=True)
            d = found.direction
            dense, v = a.to_dense().double(), d.vector.double()
            assert found.status == "negative curvature"
            assert d.negative
            assert float(v.norm()) == pytest.approx(1, abs=1e-6)
            assert abs(float(v @ dense @ v) - d.value) <= d.error
            assert float(v @ (vector(31, seed, dtype).double() - dense @ found.x.double())) > 0
            assert float(v @ dense @ v) < 0

    def test_is_that_of_the_damped_operator(self):
        a, b = operator_of([-1.0, *line(1, 3, 30)]), vector(31)
        assert cg(a, b, allow_indefinite=True, damping=1.1).status == "converged"
        d = cg(a, b, allow_indefinite=True, damping=0.5).direction
        assert float(d.vector @ (a @ d.vector)) + 0.5 == pytest.approx(d.value, abs=1e-12)
        assert d.value < 0

    def test_is_never_claimed_of_a_semidefinite_operator(self):
        for seed in range(30):
            rank = 3 + seed % 20
            dtype = torch.float32 if seed % 2 else torch.float64
            entries = vector(30 * rank, seed).reshape(30, rank)
            a = Matrix((entries @ entries.T).to(dtype))
            found = cg(a, vector(30, seed, dtype), tol=1e-14, allow_indefinite=True)
            assert found.status != "negative curvature"
            assert found.direction is None or not found.direction.negative

    def test_unmasks_an_operator_that_was_declared_semidefinite(self):
        a = operator_of([-1.0, *line(1, 3, 30)], facts=PSD)
        found = cg(a, vector(31), damping=0.1)
        assert found.status == "negative curvature"
        assert found.error is None
        assert found.energy_bound is None

    def test_the_first_step_already_sees_it(self):
        a = Counting(operator_of([-2.0, -1.0]))
        found = cg(a, vector(2), allow_indefinite=True)
        assert (found.status, found.products, a.count) == ("negative curvature", 1, 1)
        assert float(found.x.abs().max()) == 0
