"""Single steps of a trust region: what is promised, what is taken, and why none is."""

import math

import pytest
import torch

from thalweg.landscapes.more_garbow_hillstrom import PROBLEMS
from thalweg.minimize import Objective, minimize
from thalweg.minimize.directions.models import Asked
from thalweg.minimize.place import Standing
from thalweg.minimize.searches import TrustRegion
from thalweg.minimize.trust_steps import TrustSteps, hopeless
from thalweg.operators import Matrix

SCALE = torch.tensor([1.0, 4.0]).double()
ORIGIN = torch.ones(2).double()


def steps(loss, matrix=SCALE, **options):
    """The steps of a model with this diagonal, from ones, and the place there."""
    objective = Objective(loss, ORIGIN, gives_gradient=True)
    model = Asked(lambda place: Matrix(torch.diag(matrix)))
    place = Standing(objective, ORIGIN, *objective.evaluate(ORIGIN))
    return TrustSteps(objective, model, TrustRegion(**options)), place, objective


def bowl(x):
    return (SCALE * x * x).sum() / 2, SCALE * x


def place_of(value):
    objective = Objective(bowl, ORIGIN, gives_gradient=True)
    return Standing(objective, ORIGIN, value, ORIGIN)


def test_a_small_radius_promises_no_less():
    """Along the gradient the model falls by (g'g)^2 / 2 g'Bg in all, however short the step."""
    walk, place, _ = steps(bowl, subproblem="cauchy", radius=1e-3)
    g = SCALE
    assert walk.promised(place) == pytest.approx(float((g @ g) ** 2 / (2 * g @ (SCALE * g))))


def test_the_right_model_takes_newtons_step_in_one_evaluation():
    walk, place, objective = steps(bowl, subproblem="exact", radius=10.0)
    there, status = walk.taken(place, 5)
    assert status == "satisfied"
    torch.testing.assert_close(there.x, torch.zeros(2).double())
    assert objective.counts.losses == 2


@pytest.mark.parametrize("larger", [True, False])
def test_where_the_loss_is_all_rounding_the_gradient_decides(larger):
    """A loss of 1e12 shows nothing of these steps."""

    def loss(x):
        away = (x - ORIGIN).norm()
        return torch.tensor(1e12).double(), 1e-5 * SCALE * (1 + (away if larger else -0.1 * away))

    walk, place, objective = steps(loss, subproblem="exact", radius=1.0)
    there, status = walk.taken(place, 50)
    assert (there is None) == larger
    assert status == ("rounding" if larger else "satisfied")
    assert objective.counts.rejected_steps == larger


def test_each_refused_step_is_tried_again_nearer():
    def wall(x):
        value, gradient = bowl(x)
        return (value if float(x.min()) > 0.9 else value + math.inf), gradient

    walk, place, objective = steps(wall, subproblem="steihaug", radius=1.0)
    there, status = walk.taken(place, 50)
    assert there.finite
    assert status == "satisfied"
    assert objective.counts.rejected_steps == objective.counts.losses - 2 == 2  # 1, 1/4, 1/16


@pytest.mark.parametrize(
    "values, status",
    [
        ([], "not descending"),
        ([2.0, math.nan], "rounding"),
        ([math.nan, math.inf], "not finite"),
        ([2.0, -math.inf], "not finite"),
    ],
)
def test_why_none_was_taken(values, status):
    assert hopeless([place_of(value) for value in values]) == status


def test_the_budget_is_named_when_it_is_what_is_missing():
    walk, place, _ = steps(lambda x: (bowl(x)[0].abs() * 0 + (x != ORIGIN).sum(), SCALE))
    assert walk.taken(place, 3) == (None, "budget")


@pytest.mark.parametrize("search", [None, "trust-region"])
def test_falling_back_within_the_rounding_is_not_gone_on_with(search):
    """The loss of this one loses more digits than its precision says: 1,700 evaluations before."""
    known = PROBLEMS["26 trigonometric"]
    result = minimize(known.loss, known.start, "newton-cg", search, tol=1e-10, certify=False)
    assert known.has_minimum(result.value)
    assert result.counts.losses <= 600
