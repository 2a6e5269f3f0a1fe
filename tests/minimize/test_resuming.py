"""Loops and runs that are stopped, saved and gone on with, to the same digits."""

import io

import pytest
import torch
from second_order_places import rosenbrock

from thalweg.minimize import Objective, Run, minimize
from thalweg.minimize.loop import Loop
from thalweg.minimize.names import DIRECTIONS, SEARCHES, direction_named, suited_search
from thalweg.minimize.searches import TrustRegion
from thalweg.operators import Matrix

START = torch.tensor([-1.2, 1.0, 0.4]).double()
KRONECKER = ("k-fac", "ek-fac")  # of a model's layers, which a function of x has not
BY_LINE = [(name, None) for name in DIRECTIONS if name not in KRONECKER]
BY_REGION = [
    ("newton", TrustRegion),
    ("newton", lambda: TrustRegion("exact")),
    ("sr1", lambda: TrustRegion("exact")),
    ("l-sr1", TrustRegion),
    ("l-bfgs", TrustRegion),
    ("gauss-newton", lambda: TrustRegion("dogleg")),
]
every_method = pytest.mark.parametrize("direction, search", BY_LINE + BY_REGION)


def residuals(x):
    return torch.cat([10 * (x[1:] - x[:-1] ** 2), 1 - x[:-1]])


def squared_jacobian(x):
    j = torch.autograd.functional.jacobian(residuals, x)
    return Matrix(2 * j.T @ j, facts={"psd"})


def objective():
    return Objective(rosenbrock, START, gauss_newton=squared_jacobian, fisher=squared_jacobian)


def loop(direction, search):
    made = direction_named(direction)
    found = suited_search(made) if search is None else search()
    return Loop(objective(), START, made, found, 10_000)


def same(left, right):
    """Whether two states are equal, tensors to the last digit."""
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return torch.equal(left, right) if isinstance(left, torch.Tensor) else left == right


@every_method
@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("steps", [0, 3])
def test_a_loop_goes_on_as_if_it_had_not_been_stopped(direction, search, asked, steps):
    one = loop(direction, search)
    for _ in range(steps):
        one.step()
    if asked and search is None:
        assert one.proposal.vector.isfinite().all()
    saved = one.state_dict()
    two = loop(direction, search)
    two.load_state_dict(saved)
    for _ in range(4):
        assert one.step() == two.step()
    assert same(one.state_dict(), two.state_dict())


@every_method
def test_a_saved_loop_is_a_copy(direction, search):
    one = loop(direction, search)
    one.step()
    saved, again = one.state_dict(), one.state_dict()
    for _ in range(4):
        one.step()
    assert same(saved, again)
    two = loop(direction, search)
    two.load_state_dict(saved)
    for _ in range(4):
        two.step()
    assert same(saved, again)


@every_method
def test_a_run_goes_on_through_a_file(direction, search):
    def made():
        return Run(objective(), START, direction, search and search(), max_evaluations=300)

    whole, first = made(), made()
    for _ in range(5):
        first.step()
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = made().load_state_dict(torch.load(file, weights_only=True))
    one, two = whole.result(), second.result()
    assert (one.status, one.why) == (two.status, two.why)
    assert one.history == two.history
    assert one.counts == two.counts
    assert torch.equal(one.x, two.x)


def test_loading_asks_for_no_loss():
    calls = []

    def loss(x):
        calls.append(x)
        return rosenbrock(x)

    run = Run(loss, START)
    run.step()
    saved = run.state_dict()
    calls.clear()
    Run(loss, START).load_state_dict(saved)
    assert calls == []


def test_a_spent_budget_may_be_raised():
    short = Run(rosenbrock, START, max_evaluations=10)
    assert short.result().status == "out of budget"
    longer = Run(rosenbrock, START).load_state_dict(short.state_dict())
    assert longer.result().converged
    assert longer.ended.history[: len(short.ended.history)] == short.ended.history


def test_a_run_is_what_minimize_does():
    run = Run(rosenbrock, START, "bfgs")
    while run.step() is None:
        pass
    assert run.ended.history == minimize(rosenbrock, START, "bfgs").history
    assert run.step() is run.ended


def test_a_state_of_other_parameters_is_refused():
    saved = Run(rosenbrock, START).state_dict()
    with pytest.raises(ValueError, match="3 parameters, this loop goes over 2"):
        Run(rosenbrock, START[:2]).load_state_dict(saved)


def test_the_radius_is_state():
    run = Run(rosenbrock, START, "newton", "trust-region")
    for _ in range(4):
        run.step()
    radius = run.state_dict()["loop"]["search"]["radius"]
    other = TrustRegion("exact")
    Run(rosenbrock, START, "newton", other).load_state_dict(run.state_dict())
    assert other.radius == radius


def test_another_loss_is_asked_for_anew_and_what_was_learned_kept():
    """The memory of a minibatch loop outlives the minibatch."""
    shift = [0.0]
    made = direction_named("bfgs")
    objective = Objective(lambda x: ((x - shift[0]) ** 2).sum(), torch.ones(2).double())
    walk = Loop(objective, torch.ones(2).double(), made, SEARCHES["strong-wolfe"](), 100)
    walk.step()
    learned = made.state_dict()
    shift[0] = 3.0
    walk.evaluate_again()
    assert walk.place.value == pytest.approx(float(((walk.place.x - 3.0) ** 2).sum()))
    assert same(learned, made.state_dict())


def test_how_long_nothing_was_gained_is_state():
    """A loss that shows none of its steps is left after as many, stopped between or not."""

    def standing():
        flat = Objective(lambda x: (torch.tensor(1.0).double(), x**3), START, gives_gradient=True)
        made = direction_named("steepest-descent")
        return Loop(flat, START, made, SEARCHES["fixed"](), 100)

    def stepped(walk):
        taken = 0
        while walk.step().alpha:
            taken += 1
        return taken

    one, two = standing(), standing()
    for _ in range(5):
        assert one.step().alpha
    two.load_state_dict(one.state_dict())
    assert stepped(one) == stepped(two) == stepped(standing()) - 5
