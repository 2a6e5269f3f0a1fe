"""Gauss-Newton and Levenberg-Marquardt against the normal equations and torch's least squares."""

import math
from functools import partial

import pytest
import torch
from second_order_places import At, descend, vector

from thalweg.minimize.directions.damping import Nielsen, first_damping, thresholds
from thalweg.minimize.directions.gauss_newton import GaussNewton
from thalweg.minimize.directions.levenberg_marquardt import LevenbergMarquardt
from thalweg.minimize.directions.quadratic_model import Promise
from thalweg.operators import Matrix

M, N = 9, 4


def bent(x):
    """Nine residuals of four parameters of very different units."""
    t = torch.linspace(0, 2, M).double()
    return x[0] + 10 * x[1] * t + torch.exp(-x[2] * t) - 0.1 * x[3] * t**3 - torch.cos(3 * t)


def jacobian(r, x):
    return torch.autograd.functional.jacobian(r, x)


def half(r, unit=1.0):
    return lambda x: unit * r(x).square().sum() / 2


def place(r=bent, x=None, unit=1.0):
    x = vector(N) if x is None else x
    exact = lambda y: Matrix(unit * jacobian(r, y).T @ jacobian(r, y), facts={"psd"})
    return At(half(r, unit), x, gauss_newton=exact)


def rosenbrock(x):
    return torch.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]])


WAYS = {
    "dense J": lambda r: {"residuals": r},
    "LSMR": lambda r: {"residuals": r, "largest": 1, "tol": 1e-12},
    "dense B": lambda r: {},
    "CG": lambda r: {"largest": 1, "tol": 1e-12},
}
SCALED = ("dense J", "dense B")


@pytest.fixture(params=WAYS)
def way(request):
    return WAYS[request.param]


def test_gauss_newton_solves_the_linear_problem(way):
    at = place()
    j, r = jacobian(bent, at.x), bent(at.x)
    proposal = GaussNewton(**way(bent)).propose(at)
    want = torch.linalg.lstsq(j, -r).solution
    assert torch.allclose(proposal.vector, want, rtol=1e-7)
    assert proposal.curvature == pytest.approx(float((j @ want).square().sum()))
    assert proposal.slope == pytest.approx(float(at.gradient @ want))


def test_linear_residuals_take_one_step(way):
    a, b = vector(M * N).reshape(M, N), vector(M, seed=5)
    at = place(lambda x: a @ x - b)
    step = GaussNewton(**way(lambda x: a @ x - b)).propose(at).vector
    assert torch.allclose(at.x + step, torch.linalg.lstsq(a, b).solution)


def test_of_many_solutions_the_shortest_is_taken(way):
    r = lambda x: torch.stack([x[0] + x[1] - 3, x[2] - 1])
    step = GaussNewton(**way(r)).propose(place(r, torch.zeros(N).double())).vector
    assert torch.allclose(step, torch.tensor([1.5, 1.5, 1.0, 0.0]).double())


@pytest.mark.parametrize(
    "name, scale",
    [*((name, "identity") for name in WAYS), *((name, "marquardt") for name in SCALED)],
)
def test_levenberg_marquardt_solves_the_damped_normal_equations(name, scale):
    at = place(unit=3.0)
    direction = LevenbergMarquardt(**WAYS[name](bent), scale=scale, damping=0.2)
    proposal = direction.propose(at)
    b = 3 * jacobian(bent, at.x).T @ jacobian(bent, at.x)
    d2 = b.diagonal() if scale == "marquardt" else torch.ones(N).double()
    want = torch.linalg.solve(b + direction.damping * torch.diag(d2), -at.gradient)
    assert torch.allclose(proposal.vector, want, rtol=1e-7)
    assert proposal.curvature == pytest.approx(float(want @ b @ want))


def test_the_first_damping_has_the_model_s_units():
    at = place(unit=3.0)
    b = 3 * jacobian(bent, at.x).T @ jacobian(bent, at.x)
    first = {}
    for name, way in WAYS.items():
        direction = LevenbergMarquardt(**way(bent), scale="identity", damping=0.2)
        assert direction.damping is None
        direction.propose(at)
        first[name] = direction.damping
    along = float(at.gradient @ b @ at.gradient / at.gradient.square().sum())
    dense = 0.2 * float(b.diagonal().max())
    want = {"dense J": dense, "LSMR": 0.2 * along, "dense B": dense, "CG": 0.2 * along}
    assert first == pytest.approx(want)
    assert first_damping(Matrix(b), at.gradient, 0.2) == pytest.approx(0.2 * along)


@pytest.mark.parametrize("name", SCALED)
@pytest.mark.parametrize("scale", ["identity", "marquardt"])
def test_much_damping_is_gradient_descent_and_none_gauss_newton(name, scale):
    at = place()
    d2 = jacobian(bent, at.x).square().sum(0) if scale == "marquardt" else torch.ones(N).double()
    make = lambda damping: LevenbergMarquardt(**WAYS[name](bent), scale=scale, damping=damping)
    direction = make(1e9)
    far = direction.propose(at).vector
    assert torch.allclose(far * direction.damping, -at.gradient / d2, rtol=1e-6)
    near = make(1e-13).propose(at).vector
    assert torch.allclose(near, GaussNewton(bent).propose(at).vector, rtol=1e-6)


@pytest.mark.parametrize("name", SCALED)
def test_marquardt_s_steps_do_not_depend_on_the_parameters_units(name):
    units = torch.tensor([1.0, 1e4, 1e-3, 50.0]).double()
    other = lambda y: bent(y / units)
    plain = LevenbergMarquardt(**WAYS[name](bent)).propose(place())
    scaled = LevenbergMarquardt(**WAYS[name](other)).propose(place(other, vector(N) * units))
    assert torch.allclose(scaled.vector / units, plain.vector, rtol=1e-8)


@pytest.mark.parametrize("unit", [1e-8, 2.0, 1e8])
@pytest.mark.parametrize("make", [GaussNewton, partial(LevenbergMarquardt, scale="identity")])
def test_any_multiple_of_the_squares_will_do(make, unit, way):
    step = make(**way(bent)).propose(place(unit=unit)).vector
    assert torch.allclose(step, make(**way(bent)).propose(place()).vector, rtol=1e-6)


@pytest.mark.parametrize("make", [GaussNewton, LevenbergMarquardt])
def test_a_loss_of_other_residuals_is_refused(make):
    with pytest.raises(ValueError, match=r"cosine -?\d.*, so the loss is no multiple"):
        make(lambda x: x - 5).propose(place())


def test_the_scale_does_not_shrink():
    r = lambda x: torch.stack([torch.exp(x[0]), x[1] - 1])
    direction = LevenbergMarquardt(r, damping=1.0)
    high, low = torch.tensor([2.0, 0.0]).double(), torch.tensor([0.0, 0.0]).double()
    direction.propose(place(r, high))
    there = place(r, low)
    step = direction.propose(there).vector
    d2 = torch.tensor([math.exp(4), 1.0]).double()
    b = jacobian(r, low).T @ jacobian(r, low)
    assert torch.allclose(step, torch.linalg.solve(b + torch.diag(d2), -there.gradient))


@pytest.mark.parametrize("scale", ["identity", "marquardt"])
def test_rosenbrock_is_solved_by_least_squares(scale):
    start = place(rosenbrock, torch.tensor([-1.2, 1.0]).double())
    path = descend(LevenbergMarquardt(rosenbrock, scale=scale), start, 60, until=1e-9)
    assert torch.allclose(path[-1].x, torch.ones(2).double(), atol=1e-8)
    assert len(path) < 40


def test_damping_follows_the_steps():
    direction = LevenbergMarquardt(rosenbrock, damping=0.1)
    at = place(rosenbrock, torch.tensor([-1.2, 1.0]).double())
    d = direction.propose(at).vector
    for share, grown in ((0.5, True), (0.25, True)):  # the search shortened the step
        before = direction.damping
        direction.moved(at, at.moved(share * d))
        assert (direction.damping > before) == grown
    assert direction.damping == pytest.approx(0.1 * 2 * 4)
    d = direction.propose(at).vector
    there = at.moved(d)
    j = jacobian(rosenbrock, at.x)
    ratio = (at.value - there.value) / -float(at.gradient @ d + (j @ d).square().sum() / 2)
    direction.moved(at, there)
    assert direction.damping == pytest.approx(0.8 * max(1 / 3, 1 - (2 * ratio - 1) ** 3))


def test_a_run_goes_on_exactly():
    start = place(rosenbrock, torch.tensor([-1.2, 1.0]).double())
    first = LevenbergMarquardt(rosenbrock)
    middle = descend(first, start, 5)[-1]
    second = LevenbergMarquardt(rosenbrock)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.propose(middle).vector, second.propose(middle).vector)
    saved = first.state_dict()
    kept = saved["scale"].clone()
    descend(first, middle, 5)
    assert torch.equal(saved["scale"], kept)
    first.load_state_dict(LevenbergMarquardt(rosenbrock).state_dict())
    assert first.damping is None


def test_nielsen_s_rule():
    damping = Nielsen(1.0)
    assert damping.after(1.0).damping == pytest.approx(1 / 3)
    assert damping.after(0.5).damping == pytest.approx(1.0)
    assert damping.after(0.25).damping == pytest.approx(1.125)
    twice = damping.after(-1.0).after(math.nan)
    assert twice == (8.0, 8.0)
    assert twice.after(0.5).growth == 2


@pytest.mark.parametrize(
    "ratio, want", [(0.8, 2 / 3), (0.5, 1.0), (0.2, 1.5), (-5.0, 1.5), (math.nan, 1.5)]
)
def test_levenberg_and_marquardt_s_rule(ratio, want):
    assert thresholds(1.0, ratio, 5.0) == pytest.approx(want)
    assert thresholds(0.0, ratio, 5.0) == 0


def test_damping_that_changes_nothing_falls_no_further():
    assert thresholds(9e-6, 1.0, 5.0) == pytest.approx(6e-6)
    assert thresholds(6e-6, 1.0, 5.0) == pytest.approx(5e-6)
    assert thresholds(1e-7, 1.0, 5.0) == 1e-7
    assert thresholds(1e-7, 0.0, 5.0) == pytest.approx(1.5e-7)
    assert thresholds(1.0, 1.0, -5.0) == pytest.approx(2 / 3)
    assert Promise(slope=-1.0, curvature=8.0, size=2.0).bend == 2
    assert Promise(slope=0.0, curvature=0.0, size=0.0).bend == 0


def test_the_ratio_is_of_what_was_found_to_what_was_promised():
    loss = lambda x: x[0] ** 2 + x[0] ** 3
    at = At(loss, torch.tensor([1.0]).double())
    d = torch.tensor([-0.5]).double()
    there = at.moved(0.5 * d)
    promise = Promise(slope=5 * -0.5, curvature=2 * 0.25, size=0.5)
    found = 2 - (0.75**2 + 0.75**3)
    assert promise.taken(at, there) == pytest.approx(0.5)
    assert promise.ratio(at, there) == pytest.approx(found / (0.5 * 2.5 - 0.125 * 0.5))
    assert promise.ratio(there, at.moved(0)) < 0


def test_where_both_changes_are_rounding_the_ratio_is_1():
    loss = lambda x: 1 + x.square().sum()
    at = At(loss, torch.full((1,), 1e-9).double())
    there = at.moved(torch.full((1,), -1e-9).double())
    assert promise_of(at, there).ratio(at, there) == pytest.approx(1.0, abs=1e-2)


def promise_of(at, there):
    d = there.x - at.x
    return Promise(float(at.gradient @ d), float(2 * d @ d), float(d.norm()))


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: LevenbergMarquardt(damping=0.0), r"LevenbergMarquardt\(damping=0.0\)"),
        (lambda: LevenbergMarquardt(scale="more"), r"choose one of marquardt, identity"),
        (lambda: GaussNewton(tol=0.0), r"GaussNewton\(tol=0.0\)"),
        (lambda: GaussNewton(largest=0), r"GaussNewton\(largest=0\)"),
        (
            lambda: LevenbergMarquardt(scale="marquardt", largest=1).propose(place()),
            "Use scale='identity'",
        ),
    ],
)
def test_what_cannot_be_is_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()


@pytest.mark.parametrize(("largest", "scale"), [(500, "marquardt"), (1, "identity")])
def test_the_scale_is_marquardt_s_where_a_matrix_is_written_down(largest, scale):
    left, asked = (LevenbergMarquardt(scale=one, largest=largest) for one in (None, scale))
    for _ in range(2):
        assert torch.equal(left.propose(place()).vector, asked.propose(place()).vector)


def test_levenberg_marquardt_by_products_solves_as_exactly_as_a_trial_step_is_worth():
    at = place()
    direction = LevenbergMarquardt(largest=1, damping=1e-3)
    d = direction.propose(at).vector
    b = jacobian(bent, at.x).T @ jacobian(bent, at.x)
    left = b @ d + direction.damping * d + at.gradient
    assert 1e-6 * at.gradient.norm() < left.norm() <= 0.1 * at.gradient.norm()
    assert GaussNewton(largest=1).models.tol == 1e-6
