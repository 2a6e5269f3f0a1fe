"""Newton, Newton-CG, Newton-MINRES and saddle-free Newton against dense linear algebra."""

import math

import pytest
import torch
from second_order_places import At, descend, quadratic, rosenbrock, saddle, turned, vector

from thalweg.minimize.directions.forcing import forcing
from thalweg.minimize.directions.newton import Newton, newton_step
from thalweg.minimize.directions.newton_cg import NewtonCG, newton_cg_step
from thalweg.minimize.directions.newton_minres import NewtonMINRES, newton_minres_step
from thalweg.minimize.directions.saddle_free_newton import (
    SaddleFreeNewton,
    dense_saddle_free_step,
    krylov_saddle_free_step,
)
from thalweg.minimize.directions.spectrum import Spectrum
from thalweg.operators import Matrix

N = 12
POSITIVE = torch.logspace(-2, 1, N, dtype=torch.float64)
INDEFINITE = torch.tensor([-4.0, -1.0, -0.2, *torch.linspace(0.3, 5, N - 3).tolist()]).double()
STEPS = {
    "newton": lambda a, g: newton_step(a, g),
    "newton, floor": lambda a, g: newton_step(a, g, modify="floor"),
    "newton-cg": lambda a, g: newton_cg_step(Matrix(a), g, eta=1e-13),
    "newton-minres": lambda a, g: newton_minres_step(Matrix(a), g, eta=1e-13),
    "saddle-free": lambda a, g: dense_saddle_free_step(Spectrum.of(a), g),
    "saddle-free, krylov": lambda a, g: krylov_saddle_free_step(Matrix(a), g, dimension=N),
}
DIRECTIONS = {
    "newton": Newton,
    "newton, floor": lambda: Newton(modify="floor"),
    "newton-cg": NewtonCG,
    "newton-minres": NewtonMINRES,
    "saddle-free": SaddleFreeNewton,
    "saddle-free, krylov": lambda: SaddleFreeNewton(dimension=N),
}


def absolute_step(a, g):
    values, q = torch.linalg.eigh(a)
    return -q @ ((q.T @ g) / values.abs())


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_one_step_on_a_quadratic(step):
    a, _ = turned(POSITIVE)
    b, x = vector(N), vector(N, seed=5)
    proposal = step(a, a @ x - b)
    assert torch.allclose(x + proposal.vector, torch.linalg.solve(a, b), rtol=1e-8, atol=1e-8)
    assert proposal.length == 1
    assert not proposal.escapes


@pytest.mark.parametrize("values", [POSITIVE, INDEFINITE], ids=["positive", "indefinite"])
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_slopes_are_those_of_the_gradient_and_lead_down(step, values):
    a, _ = turned(values)
    g = vector(N)
    proposal = step(a, g)
    assert proposal.slope == pytest.approx(float(g @ proposal.vector), rel=1e-10)
    assert proposal.slope < 0


@pytest.mark.parametrize("values", [POSITIVE, INDEFINITE], ids=["positive", "indefinite"])
@pytest.mark.parametrize("name", ["newton-cg", "newton-minres"])
def test_the_curvature_is_that_of_the_hessian(name, values):
    a, _ = turned(values)
    proposal = STEPS[name](a, vector(N))
    d = proposal.vector
    assert proposal.curvature == pytest.approx(float(d @ a @ d), rel=1e-6)


@pytest.mark.parametrize("name", ["newton", "saddle-free", "saddle-free, krylov"])
def test_indefinite_hessians_count_by_the_sizes_of_their_eigenvalues(name):
    a, _ = turned(INDEFINITE)
    g = vector(N)
    proposal = STEPS[name](a, g)
    assert torch.allclose(proposal.vector, absolute_step(a, g), rtol=1e-9)
    assert proposal.curvature == pytest.approx(-float(g @ absolute_step(a, g)))


def test_the_floor_replaces_what_lies_below_it():
    a, q = turned([-2.0, 1e-12, 1.0, 4.0])
    g = q.sum(1)
    proposal = newton_step(a, g, modify="floor", floor=0.01)
    assert torch.allclose(q.T @ proposal.vector, -torch.tensor([25.0, 25.0, 1.0, 0.25]).double())


def test_unmodified_newton_goes_to_the_saddle():
    at = At(saddle, torch.tensor([0.1, 0.4]).double())
    proposal = Newton(modify="none").propose(at)
    exact = -torch.linalg.solve(at.dense(), at.gradient)
    assert torch.allclose(proposal.vector, exact)
    assert proposal.slope > 0
    assert (at.x + proposal.vector).norm() < at.x.norm() / 4


def test_unmodified_newton_stays_at_a_saddle():
    proposal = Newton(modify="none").propose(At(saddle, torch.zeros(2).double()))
    assert not proposal.escapes
    assert not proposal.vector.any()


def test_unmodified_newton_takes_the_shortest_step_where_the_hessian_is_singular():
    a, q = turned([-1.0, 0.0, 2.0])
    g = q @ torch.tensor([3.0, 0.0, 5.0]).double()
    proposal = newton_step(a, g, modify="none")
    assert torch.allclose(q.T @ proposal.vector, torch.tensor([3.0, 0.0, -2.5]).double())


def test_newton_raphson_with_a_step():
    a, _ = turned(POSITIVE)
    at = At(quadratic(a, vector(N)), vector(N, seed=5))
    assert Newton(step=0.25).propose(at).length == 0.25


def test_newton_cg_goes_on_along_the_curvature_that_it_met():
    a, q = turned([-3.0, 1.0, 2.0])
    g = q @ torch.tensor([0.1, 1.0, 1.0]).double()
    first = g @ a @ g
    assert first > 0  # so the first direction is not the negative one
    p, r, d = -g, -g, torch.zeros(3).double()
    while p @ a @ p > 0:  # Hestenes and Stiefel, by hand
        alpha = (r @ r) / (p @ a @ p)
        d, s = d + alpha * p, r - alpha * a @ p
        p, r = s + (s @ s) / (r @ r) * p, s
    bent = d - (g @ p) / abs(p @ a @ p) * p
    proposal = newton_cg_step(Matrix(a), g, eta=1e-12)
    assert torch.allclose(proposal.vector, bent)
    assert d.norm() > 0


def test_newton_minres_goes_along_the_residual_that_curves_down():
    a, _ = turned(INDEFINITE)
    g = vector(N)
    proposal = newton_minres_step(Matrix(a), g, eta=1e-12)
    d = proposal.vector
    assert float(d @ a @ d) < 0
    assert abs(float(d @ a @ d)) == pytest.approx(abs(float(g @ d)))


@pytest.mark.parametrize("name", ["newton-cg", "newton-minres"])
def test_a_flat_hessian_leaves_the_gradient(name):
    g = vector(3)
    proposal = STEPS[name](torch.zeros(3, 3).double(), g)
    assert torch.equal(proposal.vector, -g)
    assert proposal.curvature == 0


def test_minres_solves_for_what_a_singular_hessian_reaches():
    a, q = turned([0.0, 1.0, 2.0])
    proposal = newton_minres_step(Matrix(a), q @ torch.tensor([0.0, 3.0, 4.0]).double())
    assert torch.allclose(q.T @ proposal.vector, torch.tensor([0.0, -3.0, -2.0]).double())


def test_a_ritz_value_near_zero_makes_no_long_step():
    a = torch.diag(torch.tensor([5.0, -5.0, -7.0, 9.0])).double()
    g = torch.tensor([1.0, 1.0, 0.0, 0.0]).double()  # g'Ag = 0
    assert torch.allclose(krylov_saddle_free_step(Matrix(a), g, dimension=1).vector, -g / 5)
    g = torch.ones(4).double()
    krylov = krylov_saddle_free_step(Matrix(a), g, dimension=3).vector
    columns = torch.stack([torch.linalg.matrix_power(a, i) @ g for i in range(3)], 1)
    v, _ = torch.linalg.qr(columns)
    theta, y = torch.linalg.eigh(v.T @ a @ v)
    y = v @ y
    assert float(theta[0]) < 0 < float(theta[-1])
    assert torch.allclose(krylov, -y @ ((y.T @ g) / (a @ y).norm(dim=0)))


def test_a_krylov_space_of_fewer_dimensions_takes_as_many_products():
    a, _ = turned(POSITIVE)
    g, k = vector(N), 4
    proposal = krylov_saddle_free_step(Matrix(a), g, dimension=k)
    columns = torch.stack([torch.linalg.matrix_power(a, i) @ g for i in range(k)], 1)
    v, _ = torch.linalg.qr(columns)
    assert torch.allclose(proposal.vector, -v @ torch.linalg.solve(v.T @ a @ v, v.T @ g))


def test_damping_is_added_to_the_sizes():
    a, q = turned([-2.0, 1.0, 4.0])
    g = q.sum(1)
    want = -torch.tensor([1 / 3, 1 / 2, 1 / 5]).double()
    spectrum = Spectrum.of(a)
    full = krylov_saddle_free_step(Matrix(a), g, dimension=3, damping=1.0)
    for proposal in (dense_saddle_free_step(spectrum, g, damping=1.0), full):
        assert torch.allclose(q.T @ proposal.vector, want)


@pytest.mark.parametrize("make", DIRECTIONS.values(), ids=DIRECTIONS)
def test_rosenbrock_is_solved(make):
    path = descend(make(), At(rosenbrock, torch.tensor([-1.2, 1.0]).double()), 60, until=1e-9)
    assert torch.allclose(path[-1].x, torch.ones(2).double(), atol=1e-7)


@pytest.mark.parametrize("scale", [1e-8, 1e8])
@pytest.mark.parametrize("make", DIRECTIONS.values(), ids=DIRECTIONS)
def test_the_loss_s_unit_does_not_matter(make, scale):
    x = torch.tensor([-1.2, 1.0, 0.3]).double()
    plain = make().propose(At(rosenbrock, x))
    scaled = make().propose(At(lambda x: scale * rosenbrock(x), x))
    assert torch.allclose(scaled.vector, plain.vector, rtol=1e-6)


@pytest.mark.parametrize("make", DIRECTIONS.values(), ids=DIRECTIONS)
def test_every_one_escapes_from_a_saddle(make):
    at = At(saddle, torch.zeros(2).double())
    proposal = make().propose(at)
    v = proposal.vector / proposal.vector.norm()
    assert proposal.escapes
    assert float(v @ at.dense() @ v) < 0
    assert proposal.curvature == pytest.approx(-2)
    path = descend(make(), at.moved(1e-3 * v), 60, until=1e-6)
    assert path[-1].value == pytest.approx(-1)


@pytest.mark.parametrize("values", [POSITIVE, POSITIVE - POSITIVE[0]], ids=["bowl", "valley"])
@pytest.mark.parametrize("make", DIRECTIONS.values(), ids=DIRECTIONS)
def test_none_leaves_a_minimum(make, values):
    a, _ = turned(values)
    proposal = make().propose(At(quadratic(a, torch.zeros(N).double()), torch.zeros(N).double()))
    assert not proposal.escapes
    assert not proposal.vector.any()


@pytest.mark.parametrize("make", [SaddleFreeNewton, lambda: SaddleFreeNewton(dimension=2)])
def test_saddle_free_newton_moves_away_where_newton_is_drawn_in(make):
    at = At(saddle, torch.tensor([0.3, 0.2]).double())
    there = at.x + make().propose(at).vector
    newton = at.x + Newton(modify="none").propose(at).vector
    assert abs(there[1]) > abs(at.x[1]) > abs(newton[1])
    assert there[0].abs() < 1e-9


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_the_step_has_the_gradient_s_precision(step, dtype):
    a, _ = turned(torch.linspace(1, 2, N))
    assert step(a.to(dtype), vector(N, dtype=dtype)).vector.dtype == dtype


def test_the_forcing_sequence_is_eisenstat_and_walker_s():
    phi = (1 + math.sqrt(5)) / 2
    assert forcing(1.0, 0.01) == pytest.approx(0.9 * 0.01**phi)
    assert forcing(2e8, 2e6) == pytest.approx(0.9 * 0.01**phi)
    assert forcing(1.0, 0.9) == forcing(1.0, 5.0) == 0.25


def bowl(x):
    return x @ (torch.linspace(1, 30, N).double() * x) / 2 + (x - 1).pow(4).sum()


@pytest.mark.parametrize("make", [NewtonCG, NewtonMINRES])
def test_the_solver_is_asked_for_more_as_the_gradient_falls(make):
    direction = make()
    path = descend(direction, At(bowl, vector(N)), 60, until=1e-6)
    assert direction.eta < 1e-2
    assert len(path) < 12
    other = make()
    other.load_state_dict(direction.state_dict())
    assert other.eta == direction.eta
    fixed = make(eta=0.3)
    descend(fixed, At(bowl, vector(N)), 5)
    assert fixed.eta == 0.3


def test_eta_is_the_residual_that_is_left():
    a, _ = turned(POSITIVE)
    g = vector(N)
    for step in (newton_cg_step, newton_minres_step):
        d = step(Matrix(a), g, eta=0.2).vector
        left = (a @ d + g).norm() / g.norm()
        assert 0.01 < left <= 0.2


@pytest.mark.parametrize("direction", [Newton(largest=2), SaddleFreeNewton(largest=2)])
def test_large_hessians_are_not_written_down_unasked(direction):
    with pytest.raises(ValueError, match="writes down the Hessian of 3 parameters"):
        direction.propose(At(rosenbrock, torch.zeros(3).double()))


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: Newton(step=0.0), r"Newton\(step=0.0\)"),
        (lambda: Newton(modify="round"), r"Newton\(modify='round'\): choose one of absolute"),
        (lambda: Newton(floor=2.0), r"Newton\(floor=2.0\)"),
        (lambda: NewtonCG(eta=0.0), r"NewtonCG\(eta=0.0\)"),
        (lambda: NewtonMINRES(max_products=0), r"NewtonMINRES\(max_products=0\)"),
        (lambda: SaddleFreeNewton(dimension=0), r"SaddleFreeNewton\(dimension=0\)"),
        (lambda: SaddleFreeNewton(damping=-1.0), r"SaddleFreeNewton\(damping=-1.0\)"),
        (lambda: Newton().load_state_dict({"eta": 1}), r"Newton.load_state_dict"),
    ],
)
def test_settings_out_of_their_domain_are_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()
