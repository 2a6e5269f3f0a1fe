"""Losses of known truth: every direction comes to their minimum, in any unit, past any saddle."""

import itertools
import math

import pytest
import torch

from thalweg.landscapes import LANDSCAPES
from thalweg.minimize import Objective, minimize
from thalweg.minimize.directions.conjugate_gradient import FORMULAS
from thalweg.minimize.names import SEARCHES

QUASI_NEWTON = ("bfgs", "sr1", "l-bfgs", "l-sr1")
# Where they take thousands of steps, as theory says they must.
SLOW = {"steepest-descent": ("rosenbrock", "worst-case"), "dfp": ("rosenbrock",)}


RUNS = [
    (direction, name)
    for direction in (*QUASI_NEWTON, *FORMULAS, "dfp", "steepest-descent")
    for name in LANDSCAPES
    if name not in SLOW.get(direction, ())
]


@pytest.mark.parametrize("direction, name", RUNS)
def test_the_minimum_is_reached(direction, name):
    landscape = LANDSCAPES[name]()
    result = minimize(landscape, landscape.start, direction)
    assert result.status == "converged", result
    assert result.value <= landscape.minimum + 1e-9 * max(1, abs(landscape.minimum)), result


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("name", ["quadratic", "linear-regression"])
def test_every_search_comes_to_a_quadratics_minimum(search, name):
    landscape = LANDSCAPES[name]()
    result = minimize(landscape, landscape.start, "newton", search)
    assert result.status == "converged", result
    assert result.value <= landscape.minimum + 1e-9 * max(1, abs(landscape.minimum)), result


@pytest.mark.parametrize("search", sorted(set(SEARCHES) - {"fixed", "exact-quadratic"}))
def test_searches_that_look_reach_the_end_of_a_bent_valley(search):
    valley = LANDSCAPES["rosenbrock"]()
    assert minimize(valley, valley.start, "l-bfgs", search).status == "converged"


UNITS = [
    *((direction, unit) for direction in ("l-bfgs", "bfgs") for unit in (1e-8, 1e8)),
    *((direction, 2.0**k) for direction in (*QUASI_NEWTON, *FORMULAS) for k in (-27, 27)),
]


@pytest.mark.parametrize("direction, unit", UNITS)
def test_the_losss_unit_changes_nothing(direction, unit):
    """A power of two changes no digit, another unit the last ones of each step."""
    valley = LANDSCAPES["rosenbrock"]()
    plain = minimize(valley, valley.start, direction)
    scaled = minimize(lambda x: unit * valley(x), valley.start, direction)
    assert scaled.status == plain.status
    assert scaled.counts == plain.counts
    torch.testing.assert_close(scaled.x, plain.x, rtol=1e-9, atol=0)


def linear_net(*widths):
    """The mean squared error of a deep linear net on a linear task, flat weights in."""
    generator = torch.Generator().manual_seed(len(widths))
    inputs = torch.randn(8, widths[0], generator=generator, dtype=torch.float64)
    task = torch.randn(widths[0], widths[-1], generator=generator, dtype=torch.float64)
    shapes = list(itertools.pairwise(widths))
    sizes = [m * n for m, n in shapes]

    def loss(w):
        output = inputs
        for part, shape in zip(torch.split(w, sizes), shapes, strict=True):
            output = output @ part.view(shape)
        return (output - inputs @ task).square().mean()

    return loss, torch.zeros(sum(sizes), dtype=torch.float64)


SADDLES = {
    "on the stable manifold": (LANDSCAPES["saddle"](), torch.tensor([1.5, 0.0]).double(), -1.0),
    "at the saddle": (LANDSCAPES["saddle"](), torch.zeros(2).double(), -1.0),
    "at the monkey saddle": (LANDSCAPES["monkey-saddle"](), torch.zeros(2).double(), -6.75),
    "a maximum": (lambda x: (x**2).cos().sum(), torch.zeros(3).double(), -3.0),
    "linear net of 2 layers": (*linear_net(3, 3, 2), 0.0),
    "linear net of 3 layers": (*linear_net(3, 3, 2, 2), 0.0),
    "linear net of 4 layers": (*linear_net(3, 3, 3, 2, 2), 0.0),
}


@pytest.mark.parametrize("name", SADDLES)
@pytest.mark.parametrize("direction", ["l-bfgs", "polak-ribiere+"])
def test_saddles_are_left(direction, name):
    loss, start, minimum = SADDLES[name]
    result = minimize(loss, start, direction)
    assert result.status == "converged", result
    assert result.value == pytest.approx(minimum, abs=1e-9)
    assert "escape" in {record.kind for record in result.history}


@pytest.mark.parametrize("name", SADDLES)
def test_saddles_are_named_with_their_escape(name):
    loss, start, minimum = SADDLES[name]
    result = minimize(loss, start, escape=False)
    assert result.status == "saddle", result
    assert result.value > minimum + 0.1
    assert result.escape.norm() == pytest.approx(1)
    along = [float(loss(result.x + 2.0**-k * result.escape)) for k in range(12)]
    assert min(along) < result.value


def test_a_strict_saddles_curvature_is_certified():
    loss, start, _ = SADDLES["on the stable manifold"]
    result = minimize(loss, start, escape=False)
    hessian = loss.hessian(result.x)
    assert result.curvature == pytest.approx(-2.0)
    assert float(result.escape @ hessian @ result.escape) == pytest.approx(result.curvature)


def test_without_its_hessian_the_curvature_is_not_vouched_for():
    def loss(x):
        return x[0] ** 2 - x[1] ** 2 + x[1] ** 4 / 4, torch.stack([2 * x[0], x[1] ** 3 - 2 * x[1]])

    start = torch.tensor([1.5, 0.0]).double()
    result = minimize(Objective(loss, start, gives_gradient=True), start)
    assert result.curvature is None
    assert "curvature was not asked" in result.why


MINIMA = {
    "a quartic": lambda x: (x**4).sum(),
    "a valley floor": lambda x: (x.prod() - 1) ** 2,
    "a flat direction": lambda x: (x[0] - 1) ** 2 + 0 * x[1],
    "no parameter at all": lambda x: (0 * x).sum(),
    "a shifted loss": lambda x: 1e6 + (x**2).sum(),
}


@pytest.mark.parametrize("name", MINIMA)
def test_no_false_alarm_at_minima(name):
    start = torch.tensor([0.7, -1.3]).double()
    result = minimize(MINIMA[name], start, escape=False)
    assert result.status == "converged", result
    assert result.value == pytest.approx(1e6 if name == "a shifted loss" else 0.0, abs=1e-9)
    assert math.isfinite(result.curvature)


@pytest.mark.parametrize("side", [-1, 1])
def test_a_point_of_inflection_is_left_to_the_side_that_falls(side):
    result = minimize(lambda x: side * x**3 + x**4, torch.zeros(1).double())
    assert result.status == "converged", result
    assert float(result.x) == pytest.approx(-0.75 * side)
