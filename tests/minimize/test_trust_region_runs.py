"""Trust regions in the loop: every direction with a model, every subproblem, honest endings."""

import itertools
import math
import re
from functools import cache

import pytest
import torch
from second_order_places import rosenbrock, saddle
from test_minimize_landscapes import MINIMA, SADDLES

from thalweg.landscapes import LANDSCAPES
from thalweg.landscapes.more_garbow_hillstrom import PROBLEMS
from thalweg.minimize import Objective, minimize
from thalweg.minimize.contract import Modelled
from thalweg.minimize.directions.gauss_newton import GaussNewton
from thalweg.minimize.directions.levenberg_marquardt import LevenbergMarquardt
from thalweg.minimize.directions.saddle_free_newton import SaddleFreeNewton
from thalweg.minimize.names import DIRECTIONS, SUBPROBLEMS
from thalweg.minimize.searches import TrustRegion
from thalweg.minimize.searches.trust_region import Exact, Steihaug
from thalweg.operators import Matrix

START = torch.tensor([-1.2, 1.0]).double()
NEWTON = ("newton", "newton-cg", "newton-minres", "saddle-free-newton")
LEARNED = ("bfgs", "dfp", "sr1", "l-bfgs", "l-sr1")
ASKED = ("gauss-newton", "levenberg-marquardt", "hessian-free", "natural-gradient")
WITHOUT = sorted(name for name in DIRECTIONS if not isinstance(DIRECTIONS[name](), Modelled))
# Along the gradient alone; DFP's B, which hardly mends, in a bent valley.
SLOW = {("cauchy", "rosenbrock"), ("cauchy", "linear-regression"), ("dfp", "rosenbrock")}
RUNS = [
    (direction, subproblem, name)
    for direction in (*NEWTON, *LEARNED)
    for subproblem in ("steihaug", "dogleg", "exact", "cauchy")
    for name in ("rosenbrock", "himmelblau", "linear-regression")
    if (subproblem, name) not in SLOW and (direction, name) not in SLOW
]


def residuals(x):
    """Rosenbrock's function as residuals: it is the sum of their squares."""
    return torch.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]])


def squared_jacobian(x):
    j = torch.autograd.functional.jacobian(residuals, x)
    return Matrix(2 * j.T @ j, facts={"psd"})


def known_to_the_last_matrix():
    """Rosenbrock's function with the matrices that directions may ask for."""
    return Objective(rosenbrock, START, gauss_newton=squared_jacobian, fisher=squared_jacobian)


@pytest.mark.parametrize("direction, subproblem, name", RUNS)
def test_the_minimum_is_reached(direction, subproblem, name):
    landscape = LANDSCAPES[name]()
    result = minimize(landscape, landscape.start, direction, TrustRegion(subproblem))
    assert result.status == "converged", result
    assert result.value <= landscape.minimum + 1e-9 * max(1, abs(landscape.minimum)), result


@pytest.mark.parametrize("direction", ASKED)
@pytest.mark.parametrize("subproblem", ["steihaug", "dogleg", "exact"])
def test_the_gauss_newton_matrix_and_the_fisher_serve_as_models(direction, subproblem):
    result = minimize(known_to_the_last_matrix(), START, direction, TrustRegion(subproblem))
    assert result.status == "converged", result
    torch.testing.assert_close(result.x, torch.ones(2).double(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("make", [GaussNewton, LevenbergMarquardt])
def test_residuals_give_the_same_steps_as_their_matrix(make):
    by_residuals = minimize(rosenbrock, START, make(residuals), TrustRegion("exact"))
    by_matrix = minimize(known_to_the_last_matrix(), START, make(), TrustRegion("exact"))
    assert by_residuals.counts.losses == by_matrix.counts.losses
    torch.testing.assert_close(by_residuals.x, by_matrix.x, rtol=1e-9, atol=0)


@pytest.mark.parametrize("direction", [*NEWTON, *LEARNED, *ASKED, "steepest-descent"])
def test_a_name_takes_the_subproblem_that_suits_it(direction):
    subproblem = SUBPROBLEMS.get(direction, "steihaug")
    named, made = (
        minimize(known_to_the_last_matrix(), START, direction, search, max_evaluations=25)
        for search in ("trust-region", TrustRegion(subproblem))
    )
    assert named.history == made.history


def test_steepest_descent_takes_cauchys_steps():
    """On a quadratic they are exact, and the gradients of two in a row orthogonal."""
    scale = torch.tensor([1.0, 4.0, 9.0]).double()
    seen = []
    minimize(
        lambda x: (scale * x * x).sum() / 2,
        torch.ones(3).double(),
        "steepest-descent",
        "trust-region",
        callback=lambda x, record: seen.append(scale * x),
    )
    for g, after in itertools.pairwise(seen[2:9]):
        assert abs(float(g @ after)) < 1e-9 * float(g.norm() * after.norm())


# Where tolerances relative to a gradient that is huge at the start end too early: that of the run,
# and in a valley as narrow as Meyer's also Steihaug's, whose step does not see along its floor.
STEEP_STARTS = ("3 Powell badly scaled", "10 Meyer")
# SR1's matrix drowns in the rounding of its pairs: the Hessian's condition number is 1e9 and more.
BEYOND_SR1 = ("10 Meyer", "17 Osborne 1")


@pytest.mark.parametrize(
    "direction, subproblem, name",
    [
        (direction, subproblem, name)
        for direction, subproblem in [
            ("newton-cg", "steihaug"),
            ("newton", "exact"),
            ("sr1", "exact"),
        ]
        for name in PROBLEMS
        if direction != "sr1" or name not in BEYOND_SR1
    ],
)
def test_more_garbow_and_hillstroms_sums_of_squares(direction, subproblem, name):
    known = PROBLEMS[name]
    tol, search = 1e-6, TrustRegion(subproblem)
    if name in STEEP_STARTS:
        tol = 1e-10
        search = TrustRegion(Steihaug(tol=1e-4) if subproblem == "steihaug" else subproblem)
    result = minimize(known.loss, known.start, direction, search, tol=tol, certify=False)
    assert result.status == "converged", result
    assert known.has_minimum(result.value), result


def test_a_bent_valley_takes_no_more_than_scipys_trust_regions():
    """scipy 1.17 takes 26 evaluations with trust-exact, 30 with trust-ncg, to 1e-5 and less."""
    for direction, most in {"newton": 27, "newton-cg": 31}.items():
        assert minimize(rosenbrock, START, direction, "trust-region").counts.losses <= most


UNITS = [
    (direction, subproblem, unit)
    for direction, subproblem in [
        ("newton", "exact"),
        ("newton", "dogleg"),
        ("newton-cg", "steihaug"),
        ("sr1", "exact"),
        ("l-sr1", "steihaug"),
        ("l-bfgs", "steihaug"),
        ("steepest-descent", "cauchy"),
    ]
    for unit in (1e-8, 2.0**27)
]


def down_the_valley(direction, subproblem, unit=1.0, budget=10_000):
    """A run on Rosenbrock's function in another unit of the loss."""
    return minimize(
        lambda x: unit * rosenbrock(x),
        START,
        direction,
        TrustRegion(subproblem),
        max_evaluations=budget,
    )


in_plain_units = cache(down_the_valley)


@pytest.mark.parametrize("direction, subproblem, unit", UNITS)
def test_the_losss_unit_changes_nothing(direction, subproblem, unit):
    """A power of two changes no digit, another unit the last ones of each step."""
    budget = 60 if direction == "steepest-descent" else 200
    plain = in_plain_units(direction, subproblem, budget=budget)
    scaled = down_the_valley(direction, subproblem, unit, budget)
    assert scaled.status == plain.status
    torch.testing.assert_close(scaled.x, plain.x, rtol=1e-6, atol=0)
    if math.frexp(unit)[0] == 0.5:
        assert scaled.counts == plain.counts
        assert torch.equal(scaled.x, plain.x)


@pytest.mark.parametrize("unit", [2.0**-20, 2.0**20])
@pytest.mark.parametrize(
    "direction, subproblem", [("newton", "exact"), ("newton-cg", "steihaug"), ("sr1", "exact")]
)
def test_the_parameters_unit_changes_nothing(direction, subproblem, unit):
    """A power of two changes no digit: the radius is in the parameters' units."""
    plain = in_plain_units(direction, subproblem)
    scaled = minimize(
        lambda x: rosenbrock(x / unit), unit * START, direction, TrustRegion(subproblem)
    )
    assert scaled.counts == plain.counts
    torch.testing.assert_close(scaled.x / unit, plain.x, rtol=1e-9, atol=0)


METHODS = [
    ("newton", "exact"),
    ("newton-cg", "steihaug"),
    ("newton-minres", "dogleg"),
    ("sr1", "exact"),
    ("l-bfgs", "steihaug"),
    ("steepest-descent", "cauchy"),
]
# Every way to go down negative curvature, and one without any.
LEAVING = [METHODS[0], METHODS[1], METHODS[3], METHODS[4]]
SMALL = sorted(name for name in SADDLES if name[-8:-1] not in ("3 layer", "4 layer"))
every_method = pytest.mark.parametrize("direction, subproblem", METHODS)


@pytest.mark.parametrize("direction, subproblem", LEAVING)
@pytest.mark.parametrize("name", [name for name in SADDLES if name != "linear net of 3 layers"])
def test_saddles_are_left(direction, subproblem, name):
    loss, start, minimum = SADDLES[name]
    result = minimize(loss, start, direction, TrustRegion(subproblem))
    assert result.status == "converged", result
    assert result.value == pytest.approx(minimum, abs=1e-9)


@every_method
@pytest.mark.parametrize("name", SMALL)
def test_without_leave_a_saddle_is_named_or_left_by_the_method_itself(direction, subproblem, name):
    loss, start, minimum = SADDLES[name]
    result = minimize(loss, start, direction, TrustRegion(subproblem), escape=False)
    assert result.status == "saddle" or result.value == pytest.approx(minimum, abs=1e-9), result


@pytest.mark.parametrize("name", ["on the stable manifold", "at the saddle"])
def test_the_exact_step_leaves_a_strict_saddle_without_being_told_of_it(name):
    loss, start, minimum = SADDLES[name]
    result = minimize(loss, start, "newton", TrustRegion("exact"), certify=False)
    assert result.value == pytest.approx(minimum, abs=1e-9)
    assert {record.kind for record in result.history} == {"start", "direction"}


def test_steihaugs_step_goes_down_the_negative_curvature_that_it_meets():
    """From next to the manifold; Newton's own step from there goes to the saddle."""
    start = torch.tensor([1.0, 1e-7]).double()
    result = minimize(saddle, start, "newton-cg", TrustRegion("steihaug"), certify=False)
    assert result.value == pytest.approx(-1)


@every_method
@pytest.mark.parametrize("name", MINIMA)
def test_no_false_alarm_at_minima(direction, subproblem, name):
    start = torch.tensor([0.7, -1.3]).double()
    result = minimize(MINIMA[name], start, direction, TrustRegion(subproblem), escape=False)
    assert result.status == "converged", result


class TestRefusedSteps:
    def test_each_is_counted_and_costs_one_evaluation(self):
        result = minimize(rosenbrock, START, "newton-cg", TrustRegion("steihaug"), certify=False)
        counts = result.counts
        assert counts.rejected_steps > 0
        assert counts.losses == 1 + counts.steps + counts.rejected_steps

    def test_the_written_down_matrix_is_not_asked_for_again(self):
        """The last products are those of the promise at the minimum."""
        result = minimize(rosenbrock, START, "newton", TrustRegion("exact"), certify=False)
        assert result.counts.rejected_steps > 0
        assert result.counts.products <= 2 * result.counts.matrices + 1

    def test_sr1_learns_from_them(self):
        """More pairs are learned from than steps are taken."""
        seen = []
        direction = DIRECTIONS["sr1"]()
        model = direction.model()
        tried = model.tried
        model.tried = lambda before, after: seen.append(after) or tried(before, after)
        direction.model = lambda: model
        result = minimize(rosenbrock, START, direction, TrustRegion("exact"))
        assert result.counts.rejected_steps > 0
        assert len(seen) == result.counts.steps + result.counts.rejected_steps

    @every_method
    @pytest.mark.parametrize("budget", [1, 2, 5, 9, 14])
    def test_a_budget_is_never_overdrawn(self, direction, subproblem, budget):
        result = minimize(
            rosenbrock, START, direction, TrustRegion(subproblem), max_evaluations=budget
        )
        assert result.counts.losses <= budget
        assert result.status == "out of budget"
        assert math.isfinite(result.value)


class TestNotFinite:
    @every_method
    def test_a_wall_of_no_numbers_is_kept_away_from(self, direction, subproblem):
        start = torch.tensor([0.01, 40.0]).double()
        result = minimize(lambda x: (x - x.log()).sum(), start, direction, TrustRegion(subproblem))
        assert result.status == "converged", result
        torch.testing.assert_close(result.x, torch.ones(2).double(), rtol=1e-6, atol=0)

    @every_method
    def test_a_loss_without_bound_is_not_called_converged(self, direction, subproblem):
        start = torch.tensor([1.0]).double()
        result = minimize(lambda x: -(x**3).exp().sum(), start, direction, TrustRegion(subproblem))
        assert result.status == "not finite", result
        assert math.isfinite(result.value)
        assert result.value < -math.e

    def test_a_hessian_that_is_no_number_leaves_the_gradient(self):
        """|x|^1.5 has none at 0, where one of the two coordinates starts."""
        start = torch.tensor([0.0, 2.0]).double()
        result = minimize(
            lambda x: (x.abs() ** 1.5).sum() + (x - 1).square().sum(),
            start,
            "newton-cg",
            TrustRegion("steihaug"),
        )
        assert result.status == "converged", result
        assert result.counts.fallbacks == 1

    @pytest.mark.parametrize("scale", [1e160, 1e-160])
    def test_a_gradient_whose_square_is_no_number(self, scale):
        result = minimize(
            lambda x: scale * rosenbrock(x), START, "newton", TrustRegion("exact"), certify=False
        )
        assert result.status in ("converged", "not finite", "stalled")


def test_a_minimum_whose_loss_is_all_rounding_is_converged_to():
    """It loses its digits long before the gradient does (Conn, Gould & Toint, section 17.4.2)."""
    start = torch.tensor([0.7, -1.3]).double()
    for direction, subproblem in METHODS[:3]:
        result = minimize(
            lambda x: 1e8 + (x - 0.3).cosh().sum(), start, direction, TrustRegion(subproblem)
        )
        assert result.status == "converged", result
        torch.testing.assert_close(result.x, torch.full((2,), 0.3).double(), rtol=0, atol=1e-5)
        assert result.counts.fallbacks == 0


def test_the_first_radius_can_be_given_and_the_largest():
    lengths = []
    at = [START]
    minimize(
        rosenbrock,
        START,
        "newton",
        TrustRegion("exact", radius=0.01, longest=0.05),
        callback=lambda x, record: lengths.append(float((x - at[-1]).norm())) or at.append(x),
    )
    assert lengths[1] == pytest.approx(0.01)
    assert max(lengths) == pytest.approx(0.05)


@pytest.mark.parametrize("direction", WITHOUT)
def test_a_direction_without_a_model_is_refused_and_those_with_one_named(direction):
    with pytest.raises(ValueError, match=f"and {re.escape(direction)} has none") as refused:
        minimize(rosenbrock, START, direction, "trust-region")
    for able in (*NEWTON, *LEARNED, *ASKED, "steepest-descent"):
        assert able in str(refused.value)


def test_directions_without_a_model_are_those_without_a_matrix():
    assert {"coordinate-descent", "fletcher-reeves", "hager-zhang"} <= set(WITHOUT)
    assert not {*NEWTON, *LEARNED, *ASKED, "steepest-descent"} & set(WITHOUT)


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: TrustRegion("steihaugh"), "choose one of cauchy, dogleg, steihaug, exact"),
        (lambda: TrustRegion(radius=0.0), "positive length"),
        (lambda: TrustRegion(radius=math.inf), "positive length"),
        (lambda: TrustRegion(longest=0.0), "largest radius"),
        (lambda: TrustRegion(radius=2.0, longest=1.0), "no smaller than the first"),
        (lambda: minimize(rosenbrock, START, "gauss-newton", "trust-region"), "gauss-newton"),
        (
            lambda: minimize(
                Objective(lambda x: (x @ x, 2 * x), START, gives_gradient=True),
                START,
                "steepest-descent",
                "trust-region",
            ),
            "hessian",
        ),
        (
            lambda: minimize(
                rosenbrock, START, SaddleFreeNewton(largest=1), TrustRegion("steihaug")
            ),
            "NewtonCG",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_advice(make, says):
    with pytest.raises(ValueError, match=says):
        make()


def test_subproblems_may_be_objects():
    by_name = minimize(rosenbrock, START, "newton-cg", TrustRegion("steihaug"))
    made = minimize(rosenbrock, START, "newton-cg", TrustRegion(Steihaug()))
    assert by_name.history == made.history
    assert minimize(rosenbrock, START, "newton", TrustRegion(Exact())).converged
