"""How soon conjugate gradients meet negative curvature, and that what they show is there.

C. Royer, M. O'Neill & S. Wright, *A Newton-CG algorithm with complexity guarantees for smooth
unconstrained optimization*, Math. Program. 180 (2020).
"""

import math

import pytest
import torch
from second_order_places import turned, vector

from thalweg.linalg import cg
from thalweg.minimize.directions.newton_cg import newton_cg_step
from thalweg.minimize.directions.truncated_cg import truncated_cg
from thalweg.operators import Matrix

N = 60


def spectrum(least, count=N):
    """One negative eigenvalue, the others between 0.1 and 1."""
    return [least, *torch.linspace(0.1, 1.0, count - 1, dtype=torch.float64).tolist()]


def met(matrix, rhs, damping=0.0):
    """What CG found, and its products."""
    found = cg(Matrix(matrix), rhs, tol=1e-14, damping=damping, allow_indefinite=True)
    return found.direction, found.products


@pytest.mark.parametrize("distinct", [2, 3, 5, 9])
def test_within_as_many_products_as_there_are_eigenvalues(distinct):
    """The Krylov space of the gradient is then invariant, and H on it has the negative one."""
    values = [-0.3] + [float(1 + i % (distinct - 1)) for i in range(N - 1)]
    matrix, _ = turned(values)
    bend, products = met(matrix, vector(N))
    assert bend.negative
    assert products <= distinct + 1  # and one that proves it


@pytest.mark.parametrize("least", [-1.0, -0.1, -0.01, -1e-4])
def test_within_the_iterations_of_their_lemma(least):
    """Lemma 2 for random right-hand sides on H + eps I / 2, eps = -lambda_min.

    J = min(n, 1 + ceil(ln(2.75 n / delta^2) / 2 * sqrt(|H| / eps))), with probability 1 - delta.
    """
    delta, failures, draws = 0.05, 0, 60
    matrix, _ = turned(spectrum(least))
    norm = max(1.0, -least)
    most = 1 + math.ceil(math.log(2.75 * N / delta**2) / 2 * math.sqrt(norm / -least))
    for seed in range(draws):
        bend, products = met(matrix, vector(N, seed=100 + seed), damping=-least / 2)
        failures += not (bend is not None and bend.negative and products <= min(N, most) + 1)
    assert failures <= 3 * delta * draws


@pytest.mark.parametrize("least", [-3.0, -0.5, -1e-2, -1e-6])
@pytest.mark.parametrize("seed", range(4))
def test_the_certificate_holds_for_the_dense_matrix(least, seed):
    matrix, _ = turned(spectrum(least), seed=seed + 1)
    bend, _ = met(matrix, vector(N, seed=seed))
    v = bend.vector
    assert float(v.norm()) == pytest.approx(1.0)
    assert float(v @ matrix @ v) == pytest.approx(bend.value, rel=1e-9, abs=1e-15)
    assert float(v @ matrix @ v) < 0


@pytest.mark.parametrize("seed", range(6))
def test_none_is_claimed_of_a_matrix_that_has_none(seed):
    matrix, _ = turned(spectrum(0.0), seed=seed + 1)
    bend, _ = met(matrix, matrix @ vector(N, seed=seed))
    assert bend is None or not bend.negative


@pytest.mark.parametrize("least", [-2.0, -0.2, -1e-3])
@pytest.mark.parametrize("seed", range(4))
def test_the_step_falls_to_first_and_to_second_order(least, seed):
    matrix, _ = turned(spectrum(least), seed=seed + 1)
    g = vector(N, seed=seed)
    proposal = newton_cg_step(Matrix(matrix), g, eta=1e-12)
    d = proposal.vector
    assert proposal.slope == pytest.approx(float(g @ d), rel=1e-9)
    assert proposal.slope < 0
    bend, _ = met(matrix, -g)
    # What lies beyond the iterate is along the direction that CG was stopped by.
    inner = cg(Matrix(matrix), -g, tol=1e-12, allow_indefinite=True).x
    beyond = d - inner
    assert abs(float(beyond @ bend.vector)) == pytest.approx(float(beyond.norm()), rel=1e-6)
    assert float(g @ beyond) < 0
    assert float(beyond @ matrix @ beyond) < 0


@pytest.mark.parametrize("condition", [10.0, 1e3])
def test_a_positive_hessian_is_solved_for_within_the_bound_of_the_residual(condition):
    """2 sqrt(k) ((sqrt(k) - 1) / (sqrt(k) + 1))^j <= eta: the rate that the cap is made of."""
    matrix, _ = turned(torch.logspace(0, -math.log10(condition), N, dtype=torch.float64))
    root = math.sqrt(condition)
    for eta in (0.25, 1e-3):
        found = cg(Matrix(matrix), vector(N), tol=eta, allow_indefinite=True)
        most = math.ceil(math.log(eta / (2 * root)) / math.log((root - 1) / (root + 1)))
        assert found.products <= most + 1
        assert found.direction is None


@pytest.mark.parametrize("least", [-1.0, -0.05])
def test_the_trail_of_hessian_free_ends_before_the_curvature(least):
    """Every kept iterate lies in the space on which the damped matrix is positive."""
    matrix, _ = turned(spectrum(least))
    trail = truncated_cg(Matrix(matrix), vector(N), damping=0.0, progress=1e-12)
    bend, products = met(matrix, vector(N))
    assert bend.negative
    assert trail[-1].steps < products
    for kept in trail:
        assert float(kept.x @ matrix @ kept.x) > 0
        assert kept.curvature == pytest.approx(float(kept.x @ matrix @ kept.x), rel=1e-6)


def test_the_cap_on_products_is_kept_and_the_step_still_leads_down():
    matrix, _ = turned(torch.logspace(0, -8, N, dtype=torch.float64))
    g = vector(N)
    proposal = newton_cg_step(Matrix(matrix), g, eta=1e-12, max_products=7)
    assert proposal.slope < 0
    assert proposal.curvature == pytest.approx(
        float(proposal.vector @ matrix @ proposal.vector), rel=1e-6
    )
