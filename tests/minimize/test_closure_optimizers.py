"""Optimizers with closures: they go where `minimize` goes, whatever the closure's form."""

import copy

import pytest
import torch
from closure_cases import (
    OF_LOSS,
    OF_PAIRS,
    VALLEYS,
    conventional,
    cross_entropy,
    method,
    noisy_net,
    rosenbrock,
    small_net,
    stepped,
    trail_of_minimize,
)
from torch import nn
from torch.nn import functional as F

from thalweg.minimize import Objective
from thalweg.minimize.directions.conjugate_gradient import FORMULAS
from thalweg.minimize.optimizers import CLASSES
from thalweg.minimize.searches import StrongWolfe
from thalweg.testing import check_optimizer

SMALL = [pytest.param(name, id=name) for name in OF_LOSS]


@pytest.mark.parametrize("valley", VALLEYS)
@pytest.mark.parametrize("name", SMALL)
def test_steps_are_those_of_minimize(name, valley):
    function, start = VALLEYS[valley]
    x = nn.Parameter(start.clone())
    optimizer = method(name, [x], line_search_fn="strong-wolfe")
    found = stepped(optimizer, conventional(optimizer, lambda: function(x)), 5)
    expected = trail_of_minimize(function, start, OF_LOSS[name], 5, "strong-wolfe")
    assert expected
    for (ours,), theirs in zip(found, expected, strict=False):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", OF_PAIRS)
def test_steps_of_pairs_are_those_of_minimize(name):
    model, inputs, targets = small_net()
    objective = Objective.of_model(model, F.cross_entropy, (inputs, targets))
    expected = trail_of_minimize(objective, objective.start, OF_PAIRS[name], 3, StrongWolfe())
    own = CLASSES[name].method.own  # a class's defaults may be for minibatches
    settings = {**own, "loss": F.cross_entropy, "line_search_fn": "strong-wolfe"}
    optimizer = method(name, model.parameters(), **settings)
    for theirs in expected:
        optimizer.step(lambda: (model(inputs), targets))
        ours = nn.utils.parameters_to_vector(model.parameters()).detach()
        torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-9)


def test_hessian_free_looks_back_by_the_closure_and_counts_it():
    model, inputs, targets = small_net()
    optimizer = method("HessianFree", model.parameters(), loss=F.cross_entropy)
    calls = []

    def closure():
        calls.append(1)
        return model(inputs), targets

    losses = [float(optimizer.step(closure)) for _ in range(8)]
    assert losses == sorted(losses, reverse=True)
    assert optimizer.loss_after < losses[0] / 4
    counts = optimizer.counts
    assert counts.products > 8
    assert len(calls) == counts.losses + counts.matrices


@pytest.mark.parametrize("formula", FORMULAS)
def test_conjugate_gradients_end_in_n_steps(formula):
    function, start = VALLEYS["quadratic"]
    x = nn.Parameter(start.clone())
    settings = {"formula": formula, "restarts": False, "line_search_fn": "exact-quadratic"}
    optimizer = method("NonlinearCG", [x], **settings)
    first = float(function(start))
    stepped(optimizer, lambda: function(x), len(x) - 1)
    assert optimizer.loss_after > 1e-9 * first
    stepped(optimizer, lambda: function(x), 1)
    assert optimizer.loss_after < 1e-15 * first


def test_newton_takes_one_step_on_a_quadratic():
    function, start = VALLEYS["quadratic"]
    x = nn.Parameter(start.clone())
    optimizer = CLASSES["Newton"]([x])
    optimizer.step(lambda: function(x))
    torch.testing.assert_close(x.detach(), torch.ones_like(x))
    assert optimizer.status == "converged"
    assert "positive definite" in optimizer.why


def test_gauss_newton_solves_linear_least_squares_at_once():
    torch.manual_seed(0)
    a, b = torch.randn(9, 3, dtype=torch.float64), torch.randn(9, dtype=torch.float64)
    w = nn.Parameter(torch.zeros(3, dtype=torch.float64))
    CLASSES["GaussNewton"]([w], loss=F.mse_loss).step(lambda: (a @ w, b))
    torch.testing.assert_close(w.detach(), torch.linalg.lstsq(a, b[:, None]).solution[:, 0])


def accumulated(optimizer, model, inputs, targets):
    """A closure that calls backward on halves of the batch."""

    def closure():
        optimizer.zero_grad()
        total = 0.0
        for half in (slice(0, 10), slice(10, 20)):
            loss = F.cross_entropy(model(inputs[half]), targets[half]) / 2
            loss.backward()
            total += loss.item()
        return total

    return closure


@pytest.mark.parametrize("name", ["LBFGS", "NewtonCG"])
def test_every_form_of_closure_gives_the_same_run(name):
    ends = []
    for form in ("conventional", "without backward", "no zero_grad", "accumulated", "pair"):
        model, inputs, targets = small_net()
        pair = {"loss": F.cross_entropy} if form == "pair" else {}
        optimizer = method(name, model.parameters(), line_search_fn="strong-wolfe", **pair)
        closures = {
            "conventional": conventional(
                optimizer, lambda m=model, x=inputs, t=targets: cross_entropy(m, x, t)
            ),
            "without backward": lambda m=model, x=inputs, t=targets: cross_entropy(m, x, t),
            "no zero_grad": lambda m=model, x=inputs, t=targets: without_zero_grad(m, x, t),
            "accumulated": accumulated(optimizer, model, inputs, targets),
            "pair": lambda m=model, x=inputs, t=targets: (m(x), t),
        }
        stepped(optimizer, closures[form], 4)
        ends.append(nn.utils.parameters_to_vector(model.parameters()).detach())
    for end in ends[1:]:
        torch.testing.assert_close(end, ends[0], rtol=1e-8, atol=1e-10)


def test_backward_on_a_vector_counts_as_the_sum_that_it_differentiates():
    a, weights = torch.tensor([1.0, 3.0, 9.0]).double(), torch.tensor([5.0, 0.5, 2.0]).double()
    x = nn.Parameter(torch.zeros(3, dtype=torch.float64))

    def closure():
        losses = (a * x - 1) ** 2 / 2
        losses.backward(gradient=weights)
        return (weights * losses.detach()).sum()

    CLASSES["Newton"]([x]).step(closure)
    torch.testing.assert_close(x.detach(), 1 / a)


def without_zero_grad(model, inputs, targets):
    """What a closure computes that forgets to clear the gradients."""
    loss = cross_entropy(model, inputs, targets)
    loss.backward()
    return loss


@pytest.mark.parametrize("factor", [2.0**-27, 2.0**27])
@pytest.mark.parametrize("name", ["LBFGS", "BFGS", "NonlinearCG", "NewtonCG"])
def test_the_loss_s_unit_changes_nothing(name, factor):
    ends = []
    for scale in (1.0, factor):
        x = nn.Parameter(VALLEYS["rosenbrock"][1].clone())
        optimizer = CLASSES[name]([x], max_iter=60, line_search_fn="strong-wolfe")
        for _ in range(3):
            optimizer.step(lambda x=x, scale=scale: scale * rosenbrock(x))
        ends.append((x.detach(), optimizer.status, optimizer.counts))
    assert torch.equal(ends[0][0], ends[1][0])
    assert ends[0][1:] == ends[1][1:]
    assert ends[0][1] == "converged"


CONTRACT = {
    "LBFGS": {"line_search_fn": "strong_wolfe", "max_iter": 2},
    "NonlinearCG": {"max_iter": 1},
    "NewtonCG": {"certify": False, "line_search_fn": "backtracking"},
}


@pytest.mark.parametrize("name", CONTRACT)
def test_they_keep_the_contract_of_optimizers(name):
    check_optimizer(CLASSES[name], **CONTRACT[name])


@pytest.mark.parametrize("name", ["LBFGS", "NewtonCG"])
@pytest.mark.parametrize("search", ["strong-wolfe", "hager-zhang", "trust-region"])
def test_gradients_left_behind_are_those_at_the_parameters(name, search):
    x = nn.Parameter(VALLEYS["rosenbrock"][1].clone())
    optimizer = CLASSES[name]([x], line_search_fn=search, max_iter=3)
    closure = conventional(optimizer, lambda: rosenbrock(x))
    for _ in range(5):
        before = float(rosenbrock(x))
        assert float(optimizer.step(closure)) == before == optimizer.loss_before
        there = rosenbrock(x)
        (expected,) = torch.autograd.grad(there, x)
        torch.testing.assert_close(x.grad, expected, rtol=1e-12, atol=0)
        assert optimizer.loss_after == float(there)


def test_the_best_point_s_gradient_is_left_where_a_search_went_past_it():
    x = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    seen = []

    def closure():  # a loss that is no number below 0.9, where its gradient is finite
        loss = (x**3).sum()
        seen.append(x.item())
        x.grad = None
        loss.backward()
        return loss * torch.nan if x < 0.9 else loss

    optimizer = method("SteepestDescent", [x], max_eval=3, line_search_fn="strong-wolfe")
    optimizer.step(closure)
    assert x.item() == min(value for value in seen if value >= 0.9) < 1
    assert seen[-1] < 0.9
    torch.testing.assert_close(x.grad, 3 * x.detach() ** 2)


# The same minibatch, the same masks, statistics that see it once.


def test_all_evaluations_of_a_step_draw_the_same_masks():
    model, inputs, targets = noisy_net()
    optimizer = method("LBFGS", model.parameters(), line_search_fn="strong-wolfe", max_iter=3)
    masks = []
    model[3].register_forward_hook(lambda m, given, out: masks.append(out == 0))
    for _ in range(3):
        masks.clear()
        optimizer.step(lambda: cross_entropy(model, inputs, targets))
        assert len(masks) > 2
        assert all(torch.equal(mask, masks[0]) for mask in masks)
        kept = masks[0]
    optimizer.step(lambda: cross_entropy(model, inputs, targets))
    assert not torch.equal(masks[-1], kept), "another step, other masks"


def one_evaluation(model, inputs, targets):
    """What an evaluation leaves of a model's buffers and of the random state."""
    cross_entropy(model, inputs, targets)
    return [b.clone() for b in model.buffers()], torch.get_rng_state()


@pytest.mark.parametrize("name", ["LBFGS", "NewtonCG"])
def test_a_step_counts_once(name):
    model, inputs, targets = noisy_net()
    state = torch.get_rng_state()
    buffers, random = one_evaluation(copy.deepcopy(model), inputs, targets)
    torch.set_rng_state(state)
    optimizer = CLASSES[name](model.parameters(), model=model, line_search_fn="strong-wolfe")
    optimizer.step(lambda: cross_entropy(model, inputs, targets))
    assert optimizer.counts.losses > 2
    for found, expected in zip(model.buffers(), buffers, strict=True):
        assert torch.equal(found, expected)
    assert torch.equal(torch.get_rng_state(), random)


def test_without_the_model_every_evaluation_counts():
    model, inputs, targets = noisy_net()
    optimizer = CLASSES["LBFGS"](model.parameters(), line_search_fn="strong-wolfe")
    optimizer.step(lambda: cross_entropy(model, inputs, targets))
    assert int(model[1].num_batches_tracked) == optimizer.counts.losses > 2


def test_the_hessian_of_a_net_with_dropout_and_statistics_is_that_of_its_loss():
    model, inputs, targets = noisy_net()
    optimizer = method("NewtonCG", model.parameters(), model=model, eta=1e-10)
    state, twin = torch.get_rng_state(), copy.deepcopy(model)
    start = nn.utils.parameters_to_vector(twin.parameters()).detach()

    def loss_of(vector):
        torch.set_rng_state(state)
        named = dict(twin.named_parameters())
        parts = vector.split([p.numel() for p in named.values()])
        there = {n: part.view_as(p) for (n, p), part in zip(named.items(), parts, strict=True)}
        return F.cross_entropy(torch.func.functional_call(twin, there, (inputs,)), targets)

    expected = torch.autograd.functional.hessian(loss_of, start)
    torch.set_rng_state(state)
    products = []

    class Watched:
        name, needs = "watched", frozenset({"hessian"})

        def propose(self, at):
            products.append(at.hessian() @ torch.eye(len(at.x), dtype=at.x.dtype))
            at.hessian()  # a search moves the parameters, and products are asked for again
            optimizer._running.loss.parameters.write(at.x + 1)
            products.append(at.hessian() @ torch.eye(len(at.x), dtype=at.x.dtype))
            raise StopIteration

    optimizer._ready(optimizer._flat()).loop.direction = Watched()
    with pytest.raises(StopIteration):
        optimizer.step(lambda: cross_entropy(model, inputs, targets))
    assert len(products) == 2
    for found in products:
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(
        nn.utils.parameters_to_vector(model.parameters()).detach(), start, rtol=0, atol=0
    )
