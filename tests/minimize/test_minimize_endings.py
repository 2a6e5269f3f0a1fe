"""How runs end, what they count, and what they refuse."""

import math

import pytest
import torch

from thalweg.landscapes import rosenbrock
from thalweg.landscapes.more_garbow_hillstrom import PROBLEMS
from thalweg.minimize import Objective, Result, Run, minimize
from thalweg.minimize.directions.limited_memory import LBFGS
from thalweg.minimize.names import direction_named, memory_for, search_named
from thalweg.minimize.searches import StrongWolfe
from thalweg.operators import Matrix

VALLEY = rosenbrock()


def at(*entries: float) -> torch.Tensor:
    return torch.tensor(entries, dtype=torch.float64)


def belongs_together(result: Result, loss) -> None:
    """Whether value and gradient are those of x."""
    x = result.x.clone().requires_grad_()
    value = loss(x)
    assert float(value.detach()) == result.value
    torch.testing.assert_close(torch.autograd.grad(value, x)[0], result.gradient, rtol=0, atol=0)


def test_out_of_budget_hands_back_what_there_is():
    result = minimize(VALLEY, VALLEY.start, max_evaluations=12)
    assert result.status == "out of budget"
    assert result.counts.losses == 12
    assert result.value < float(VALLEY(VALLEY.start))
    belongs_together(result, VALLEY)


@pytest.mark.parametrize("budget", range(1, 60, 7))
@pytest.mark.parametrize("direction", ["l-bfgs", "polak-ribiere+"])
def test_a_budget_is_never_overdrawn(direction, budget):
    assert minimize(VALLEY, VALLEY.start, direction, max_evaluations=budget).counts.losses <= budget


def test_a_start_that_is_not_finite_is_said_to_be():
    result = minimize(lambda x: x.log().sum(), at(-1.0))
    assert result.status == "not finite"
    assert math.isnan(result.value)


def logarithmic(x):
    """Lowest at 1, no number left of 0; the first steps from 0.01 lead there."""
    return (x - x.log()).sum()


def test_a_wall_of_no_numbers_is_kept_away_from():
    result = minimize(logarithmic, at(0.01, 40.0))
    assert result.status == "converged"
    torch.testing.assert_close(result.x, at(1.0, 1.0), rtol=1e-6, atol=0)


def test_no_number_with_a_finite_gradient_is_no_lower():
    """Beyond 2 the loss is no number, while its gradient points on."""

    def loss(x):
        value, gradient = ((x - 3) ** 2).sum(), 2 * (x - 3)
        return (torch.full_like(value, math.nan) if float(x.max()) > 2 else value), gradient

    result = minimize(Objective(loss, at(0.0), gives_gradient=True), at(0.0))
    assert result.status in ("stalled", "not finite")
    assert 1.9 < float(result.x) <= 2
    assert result.value == (float(result.x) - 3) ** 2


def test_a_loss_without_bound_is_not_called_converged():
    result = minimize(lambda x: -(x**3).exp().sum(), at(1.0))
    assert result.status == "not finite"
    assert math.isfinite(result.value)
    assert result.value < -math.e


def test_a_loss_that_lies_about_its_gradient_stalls():
    loss = lambda x: ((x**2).sum(), -2 * x)
    result = minimize(Objective(loss, at(1.0, 2.0), gives_gradient=True), at(1.0, 2.0))
    assert result.status == "stalled"
    assert result.value == 5.0


def test_counts_are_of_the_calls_made():
    calls = []

    def loss(x):
        calls.append(x)
        return VALLEY(x)

    result = minimize(loss, VALLEY.start, certify=False)
    assert result.counts.losses == result.counts.gradients == len(calls)
    assert result.counts.steps == result.counts.effective_steps == len(result.history) - 1
    assert result.counts.products == 0
    assert result.history[-1].evaluations == len(calls)


def test_products_are_counted():
    matrix = Matrix(torch.diag(at(1.0, 2.0, 3.0)))
    asked = []

    def hessian(x):
        asked.append(x)
        return matrix

    loss = lambda x: ((x * x * at(1.0, 2.0, 3.0)).sum() / 2, at(1.0, 2.0, 3.0) * x)
    start = torch.ones(3).double()
    objective = Objective(loss, start, gives_gradient=True, hessian=hessian)
    result = minimize(objective, start)
    assert result.curvature > 0
    assert result.counts.matrices == len(asked) == 1
    assert result.counts.products == 3


def test_history_starts_at_the_start_and_falls():
    seen = []
    result = minimize(VALLEY, VALLEY.start, callback=lambda x, record: seen.append((x, record)))
    assert result.history == tuple(record for _, record in seen)
    assert torch.equal(seen[0][0], VALLEY.start)
    assert [record.value for record in result.history] == [float(VALLEY(x)) for x, _ in seen]
    assert all(b.value <= a.value for a, b in zip(result.history, result.history[1:], strict=False))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_shape_and_layout(dtype):
    target = torch.arange(24, dtype=dtype).reshape(1, 2, 3, 4)
    x0 = torch.zeros(1, 2, 3, 4, dtype=dtype).to(memory_format=torch.channels_last)
    result = minimize(lambda x: (x - target).square().sum(), x0)
    assert result.status == "converged"
    assert result.x.shape == x0.shape
    torch.testing.assert_close(result.x, target, rtol=1e-5, atol=1e-5)
    assert not x0.any()


def test_a_start_at_the_minimum_takes_one_evaluation():
    result = minimize(lambda x: (x**2).sum(), at(0.0, 0.0))
    assert (result.status, result.counts.losses) == ("converged", 1)


def test_grad_mode_does_not_matter():
    with torch.no_grad():
        assert minimize(VALLEY, VALLEY.start).converged


def test_objects_stand_for_names():
    named = minimize(VALLEY, VALLEY.start, "l-bfgs", "strong-wolfe")
    made = minimize(VALLEY, VALLEY.start, LBFGS(100), StrongWolfe())
    assert named.history == made.history


def test_an_objective_serves_many_runs_each_with_its_own_counts():
    objective = Objective(VALLEY, VALLEY.start)
    first = minimize(objective, VALLEY.start, max_evaluations=60)
    counted = first.counts.losses
    second = minimize(objective, VALLEY.start, max_evaluations=60)
    assert first.converged
    assert second.converged
    assert first.counts.losses == second.counts.losses == counted


def test_a_search_that_lets_the_loss_rise_hands_back_the_best_point():
    """Newton's step ends the first term at once; in the second, y goes to -y³."""

    def loss(x):
        return 10 * x[0] ** 2 + (1 + x[1] ** 2).sqrt()

    start = at(1.0, 1.2)
    run = Run(loss, start, "newton", "fixed", max_evaluations=6)
    for _ in range(4):
        run.step()
    again = Run(loss, start, "newton", "fixed", max_evaluations=6)
    for result in (again.load_state_dict(run.state_dict()).result(), run.result()):
        values = [record.value for record in result.history]
        assert result.status == "out of budget"
        assert result.value == min(values) == values[1] < values[0] < values[-1]
        x = result.x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(x), x)
        assert loss(x).item() == result.value
        assert torch.equal(result.gradient, gradient)
        share = gradient.abs().max() / 20  # of the start's, which is 20 in the first entry
        assert f"the gradient is {share:.2g} of that" in result.why


def test_a_gradient_of_zero_has_no_sign():
    result = minimize(lambda x: (x**2).sum(), at(0.0, -0.0))
    assert "-0 " not in result.why


@pytest.mark.parametrize(
    "size, pairs", [(1, 100), (10_000, 100), (25_000, 40), (100_000, 10), (25_000_000, 10)]
)
def test_memories_are_long_where_vectors_are_short(size, pairs):
    assert memory_for(size) == pairs


@pytest.mark.parametrize(
    "f, search, advised",
    [
        (VALLEY, "exact-quadratic", True),
        (VALLEY, "strong-wolfe", False),
        (lambda x: (torch.tensor([1.0, 100.0]).double() * x * x).sum(), "exact-quadratic", False),
    ],
    ids=["a valley", "another search", "a quadratic"],
)
def test_a_search_for_quadratics_is_named_where_it_does_not_suit(f, search, advised):
    result = minimize(f, VALLEY.start, "steepest-descent", search, max_evaluations=40, tol=1e-12)
    assert result.status == "out of budget"
    assert ("take search='strong-wolfe'" in result.why) == advised


def test_an_objective_says_where_to_start():
    objective = Objective(lambda x: (x - 1).square().sum(), torch.zeros(3, dtype=torch.float64))
    named, unnamed = minimize(objective, objective.start), minimize(objective)
    assert torch.equal(named.x, unnamed.x)
    assert named.counts == unnamed.counts
    Run(objective, direction="newton").result()
    assert torch.equal(objective.start, torch.zeros(3, dtype=torch.float64))


REFUSED = {
    "no start": (lambda: minimize(VALLEY), "where to start is not known; give x0"),
    "no direction": (lambda: minimize(VALLEY, VALLEY.start, None), "direction=None"),
    "a class for a direction": (lambda: minimize(VALLEY, VALLEY.start, LBFGS), r"LBFGS\(\)"),
    "a number for a search": (lambda: minimize(VALLEY, VALLEY.start, search=1.0), "search=1.0"),
    "a class for a search": (
        lambda: minimize(VALLEY, VALLEY.start, search=StrongWolfe),
        r"StrongWolfe\(\)",
    ),
    "a direction misspelled": (lambda: minimize(VALLEY, VALLEY.start, "lbgfs"), "'l-bfgs'"),
    "a search misspelled": (
        lambda: minimize(VALLEY, VALLEY.start, search="wolfe"),
        "search='wolfe'",
    ),
    "no budget": (lambda: minimize(VALLEY, VALLEY.start, max_evaluations=0), "one evaluation"),
    "a tolerance above one": (lambda: minimize(VALLEY, VALLEY.start, tol=2.0), "tol=2.0"),
    "an integer start": (lambda: minimize(VALLEY, torch.zeros(2, dtype=torch.long)), "x0.double"),
    "a list for a start": (lambda: minimize(VALLEY, [0.0]), "torch.Tensor"),
    "an empty start": (lambda: minimize(VALLEY, torch.zeros(0)), "nothing to minimize"),
    "a loss that is a vector": (lambda: minimize(lambda x: x, at(1.0, 2.0)), "sum or its mean"),
    "a loss that is a float": (lambda: minimize(lambda x: 1.0, at(1.0)), "scalar tensor"),
    "a loss cut off": (lambda: minimize(lambda x: x.detach().sum(), at(1.0)), "gives_gradient"),
    "no function": (lambda: minimize(3, at(1.0)), "give a function"),
    "no pair": (
        lambda: minimize(Objective(lambda x: x.sum(), at(1.0), gives_gradient=True), at(1.0)),
        "pair",
    ),
    "another shape": (lambda: minimize(Objective(VALLEY, at(1.0, 1.0)), at(1.0)), "shape"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_with_advice(name):
    call, advice = REFUSED[name]
    with pytest.raises((TypeError, ValueError), match=advice):
        call()


def test_a_minimum_of_large_residuals_is_no_saddle_by_their_rounding():
    """Terms are of the size of the start's loss, a million times the minimum's; no escape."""
    known = PROBLEMS["33 linear, rank 1"]
    result = minimize(known.loss, known.start, escape=False)
    assert result.status == "converged", result


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("lbfgs", "l-bfgs"),
        ("L_BFGS", "l-bfgs"),
        ("Newton-CG", "newton-cg"),
        ("cg", "polak-ribiere+"),
        ("gradient descent", "steepest-descent"),
    ],
)
def test_names_may_be_written_in_several_ways(written, meant):
    assert direction_named(written).name == direction_named(meant).name


def test_a_search_s_name_may_be_written_as_pytorch_does():
    assert isinstance(search_named("strong_wolfe"), StrongWolfe)
