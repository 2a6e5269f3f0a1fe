"""Directions of second order in the loop: counts, endings, units, saddles."""

import pytest
import torch
from second_order_places import rosenbrock, saddle, turned, vector

from thalweg.minimize import Objective, minimize
from thalweg.minimize.directions.coordinate_descent import CoordinateDescent
from thalweg.minimize.directions.gauss_newton import GaussNewton
from thalweg.minimize.directions.hessian_free import HessianFree
from thalweg.minimize.directions.levenberg_marquardt import LevenbergMarquardt
from thalweg.minimize.directions.natural_gradient import NaturalGradient
from thalweg.minimize.directions.newton import Newton
from thalweg.minimize.directions.newton_cg import NewtonCG
from thalweg.minimize.directions.newton_minres import NewtonMINRES
from thalweg.minimize.directions.saddle_free_newton import SaddleFreeNewton
from thalweg.minimize.names import direction_named
from thalweg.operators import Matrix

NEWTON = {
    "newton": Newton,
    "newton, floor": lambda: Newton(modify="floor"),
    "newton-cg": NewtonCG,
    "newton-minres": NewtonMINRES,
    "saddle-free": SaddleFreeNewton,
    "saddle-free, krylov": lambda: SaddleFreeNewton(dimension=4),
    "blocks of two": lambda: CoordinateDescent(2),
}
START = torch.tensor([-1.2, 1.0]).double()


def residuals(x):
    """Rosenbrock's function as residuals: it is the sum of their squares."""
    return torch.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]])


def with_gauss_newton(x):
    j = torch.autograd.functional.jacobian(residuals, x)
    return Matrix(2 * j.T @ j, facts={"psd"})


LEAST_SQUARES = {
    "gauss-newton": lambda: GaussNewton(residuals),
    "gauss-newton, matrix": GaussNewton,
    "levenberg-marquardt": lambda: LevenbergMarquardt(residuals),
    "levenberg-marquardt, matrix": LevenbergMarquardt,
    "levenberg": lambda: LevenbergMarquardt(residuals, scale="identity"),
    "hessian-free": HessianFree,
    "hessian-free, looking back": lambda: HessianFree(rosenbrock),
}


def solved(make):
    objective = Objective(rosenbrock, START, gauss_newton=with_gauss_newton)
    return minimize(objective, START, make())


@pytest.mark.parametrize("make", [*NEWTON.values(), *LEAST_SQUARES.values()])
def test_rosenbrock_s_valley_is_followed_to_its_end(make):
    result = solved(make)
    assert result.status == "converged"
    assert torch.allclose(result.x, torch.ones(2).double(), atol=1e-6)
    assert result.counts.gradients <= 60  # Hessian-free compares its own steps by losses alone
    assert result.counts.fallbacks == 0


@pytest.mark.parametrize("make", NEWTON.values(), ids=NEWTON)
def test_a_quadratic_takes_its_step_and_no_more(make):
    a, _ = turned([0.3, 1.0, 2.0, 7.0])
    b = vector(4)
    start = torch.zeros(4).double()
    result = minimize(lambda x: x @ a @ x / 2 - b @ x, start, make(), tol=1e-10)
    assert torch.allclose(result.x, torch.linalg.solve(a, b))
    if isinstance(make(), (Newton, SaddleFreeNewton)):
        assert result.counts.losses == 2


@pytest.mark.parametrize("unit", [1e-8, 1e8])
@pytest.mark.parametrize("make", NEWTON.values(), ids=NEWTON)
def test_the_same_points_are_visited_in_another_unit_of_the_loss(make, unit):
    plain = minimize(rosenbrock, START, make())
    scaled = minimize(lambda x: unit * rosenbrock(x), START, make())
    assert scaled.status == plain.status
    assert scaled.counts == plain.counts
    assert torch.allclose(scaled.x, plain.x, rtol=1e-6)


@pytest.mark.parametrize("start", [(1.0, 0.0), (0.0, 0.0), (1.0, 1e-9)])
@pytest.mark.parametrize("make", NEWTON.values(), ids=NEWTON)
def test_none_takes_a_saddle_for_a_minimum(make, start):
    result = minimize(saddle, torch.tensor(start).double(), make())
    assert result.status == "converged"
    assert result.value == pytest.approx(-1)


def test_newton_as_it_is_taught_ends_at_the_saddle_and_is_told_so():
    result = minimize(
        saddle, torch.tensor([1.0, 0.0]).double(), Newton(modify="none"), escape=False
    )
    assert result.status == "saddle"
    assert abs(float(result.escape[1])) == pytest.approx(1)


def test_a_matrix_that_the_objective_lacks_is_asked_for_before_the_run():
    with pytest.raises(ValueError, match="gauss-newton"):
        minimize(rosenbrock, START, GaussNewton())


@pytest.mark.parametrize("make", [*NEWTON.values(), *LEAST_SQUARES.values(), NaturalGradient])
def test_each_is_known_by_its_name(make):
    name = make().name
    assert type(direction_named(name)) is type(make())
    objective = Objective(
        rosenbrock, START, gauss_newton=with_gauss_newton, fisher=with_gauss_newton
    )
    if name != "coordinate-descent":  # one coordinate at a time goes through a valley slowly
        assert minimize(objective, START, name).converged
