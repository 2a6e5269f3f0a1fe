"""Convergence, as the courses and the papers state it.

First the rates of descent, momentum and Nesterov's method on quadratics, where they are known in
closed form; then, for every rule, landscapes whose minimizer it must reach.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from thalweg.landscapes import (
    beale,
    cliff,
    lecun_regression,
    quadratic,
    random_basis,
    ravine,
    rosenbrock,
    saddle,
    worst_case,
)
from thalweg.optim import OPTIMIZERS, RULES, SGD, Nesterov, clip_by_global_norm, optimizer_class
from thalweg.optim.classes.sophia import CurvatureOptimizer

SPECTRUM = (1.0, 3.0, 10.0, 25.0)
LOW, HIGH = SPECTRUM[0], SPECTRUM[-1]
CONDITION = HIGH / LOW
BASIS = random_basis(len(SPECTRUM), seed=4)
BOWL = quadratic(SPECTRUM, basis=BASIS)


def path(land, steps, make=SGD, start=None, before=lambda optimizer, step: None, **hyper):
    """Where an optimizer goes: the start and the point after each step, (steps + 1, n)."""
    w = (land.start if start is None else start).clone().requires_grad_()
    optimizer, points = make([w], **hyper), [w.detach().clone()]
    for step in range(steps):
        before(optimizer, step)
        optimizer.zero_grad()
        land(w).backward()
        optimizer.step()
        points.append(w.detach().clone())
    return torch.stack(points)


def amplitudes(points):
    """The same path along the axes of the bowl."""
    return points @ BASIS


# Gradient descent.


@pytest.mark.parametrize("lr", [0.01, 0.05, 2 / (LOW + HIGH), 0.079, 0.085])
def test_descent_contracts_each_axis_by_its_own_factor(lr):
    t = torch.arange(41, dtype=torch.float64)[:, None]
    expected = (1 - lr * torch.tensor(SPECTRUM, dtype=torch.float64)) ** t
    assert_close(amplitudes(path(BOWL, 40, lr=lr)), expected, rtol=1e-9, atol=1e-11)


def test_the_best_constant_step_contracts_by_the_condition_number():
    ends = quadratic((LOW, HIGH))
    lengths = path(ends, 60, lr=2 / (LOW + HIGH)).norm(dim=-1)
    factor = (CONDITION - 1) / (CONDITION + 1)
    assert_close(lengths[1:] / lengths[:-1], torch.full((60,), factor).double(), rtol=1e-7, atol=0)


@pytest.mark.parametrize("off", [0.9, 1.05])
def test_no_other_constant_step_is_better(off):
    best = path(BOWL, 200, lr=2 / (LOW + HIGH))[-1].norm()
    assert path(BOWL, 200, lr=off * 2 / (LOW + HIGH))[-1].norm() > 2 * best


def test_in_one_dimension_a_step_of_the_inverse_curvature_arrives_at_once():
    assert_close(path(quadratic((7.0,)), 1, lr=1 / 7.0)[-1].item(), 0.0, rtol=0, atol=1e-15)


def test_a_step_of_an_inverse_curvature_ends_that_axis_alone():
    after_one = amplitudes(path(BOWL, 1, lr=1 / SPECTRUM[2]))[-1]
    assert abs(after_one[2]) < 1e-14
    assert bool((after_one[[0, 1, 3]].abs() > 0.1).all())


@pytest.mark.parametrize("beyond", [1.001, 1.05, 1.5])
def test_beyond_two_over_the_largest_curvature_descent_diverges_by_the_exact_factor(beyond):
    lr = beyond * 2 / HIGH
    lengths = amplitudes(path(BOWL, 30, lr=lr))[:, -1].abs()
    assert_close(lengths[1:] / lengths[:-1], torch.full((30,), lr * HIGH - 1).double())
    assert lr * HIGH - 1 > 1


def test_at_the_limit_the_steepest_axis_swings_for_ever():
    swings = amplitudes(path(BOWL, 31, lr=2 / HIGH))[:, -1]
    assert_close(swings, torch.tensor([1.0, -1.0] * 16, dtype=torch.float64), rtol=1e-9, atol=0)


@pytest.mark.parametrize("lr, arrives", [(1.5, True), (2.35, True), (2.41, False), (2.5, False)])
def test_lecuns_linear_unit_is_stable_below_2_38(lr, arrives):
    land = lecun_regression()
    gaps = (path(land, 400, lr=lr) - land.minimizers[0]).norm(dim=-1)
    assert bool(gaps[-1] < 1e-4) is arrives
    assert bool(gaps[-1] > gaps[0]) is not arrives


# Polyak's heavy ball.

HEAVY = {
    "lr": 4 / (math.sqrt(HIGH) + math.sqrt(LOW)) ** 2,
    "momentum": ((math.sqrt(CONDITION) - 1) / (math.sqrt(CONDITION) + 1)) ** 2,
}
ROOT_RATE = (math.sqrt(CONDITION) - 1) / (math.sqrt(CONDITION) + 1)


@pytest.mark.parametrize("axis, root", [(0, ROOT_RATE), (-1, -ROOT_RATE)])
def test_the_heavy_ball_follows_its_closed_form(axis, root):
    # At Polyak's parameters the characteristic polynomial of the two extreme axes has a double
    # root, so their amplitude is (1 + c t) root^t with c from the first step.
    t = torch.arange(61, dtype=torch.float64)
    c = (1 - HEAVY["lr"] * SPECTRUM[axis]) / root - 1
    expected = (1 + c * t) * root**t
    assert_close(amplitudes(path(BOWL, 60, **HEAVY))[:, axis], expected, rtol=1e-6, atol=1e-15)


def test_the_heavy_ball_contracts_by_the_root_of_the_condition_number():
    lengths = path(BOWL, 160, **HEAVY).norm(dim=-1)
    # Without the factor t: (1 + c t) grows by 2 from t to 2 t, asymptotically.
    rate = float(lengths[160] / lengths[80] / 2) ** (1 / 80)
    assert_close(rate, ROOT_RATE, rtol=1e-3, atol=0)
    assert rate < 0.9 * (CONDITION - 1) / (CONDITION + 1)


@pytest.mark.parametrize("axis", [1, 2])
def test_between_the_extremes_the_heavy_ball_rotates_and_shrinks_by_the_root_of_its_momentum(axis):
    mu, lr = HEAVY["momentum"], HEAVY["lr"]
    angle = math.acos((1 + mu - lr * SPECTRUM[axis]) / (2 * math.sqrt(mu)))
    t = torch.arange(61, dtype=torch.float64)
    first = (1 - lr * SPECTRUM[axis]) / math.sqrt(mu)
    sine = (first - math.cos(angle)) / math.sin(angle)
    expected = mu ** (t / 2) * (torch.cos(angle * t) + sine * torch.sin(angle * t))
    assert_close(amplitudes(path(BOWL, 60, **HEAVY))[:, axis], expected, rtol=1e-6, atol=1e-13)


@pytest.mark.parametrize("momentum", [0.5, 0.9])
@pytest.mark.parametrize("share, arrives", [(0.96, True), (1.04, False)])
def test_momentum_widens_the_stable_rates(momentum, share, arrives):
    lr = share * (2 + 2 * momentum) / HIGH
    lengths = path(BOWL, 600, lr=lr, momentum=momentum).norm(dim=-1)
    assert bool(lengths[-1] < 1e-3 if arrives else lengths[-1] > 1e3)


# Nesterov's method.


def test_nesterov_keeps_his_bound_for_strongly_convex_functions():
    momentum = (math.sqrt(CONDITION) - 1) / (math.sqrt(CONDITION) + 1)
    ahead = path(BOWL, 200, lr=1 / HIGH, momentum=momentum, nesterov=True)
    # The parameter is his y, at which gradients are taken; his x is one plain step from there.
    x = ahead - BOWL.gradient(ahead) / HIGH
    t = torch.arange(1, len(x) + 1, dtype=torch.float64)
    start = float(BOWL(BOWL.start)) + LOW / 2 * float(BOWL.start @ BOWL.start)
    bound = (1 - 1 / math.sqrt(CONDITION)) ** t * start
    assert bool((BOWL(x) <= bound).all())
    plain = BOWL(path(BOWL, 200, lr=2 / (LOW + HIGH)))[1:]
    assert bool((plain > bound[:-1]).any()), "the bound would hold for plain descent too"


def test_nesterov_follows_his_closed_form():
    # At these parameters the flattest axis has a double root, 1 - 1 / sqrt k, and the steepest two
    # roots of zero.
    root, momentum = 1 - 1 / math.sqrt(CONDITION), ROOT_RATE
    points = amplitudes(path(BOWL, 60, lr=1 / HIGH, momentum=momentum, nesterov=True))
    t = torch.arange(61, dtype=torch.float64)
    c = (1 - (1 + momentum) / CONDITION) / root - 1
    assert_close(points[:, 0], (1 + c * t) * root**t, rtol=1e-6, atol=1e-13)
    ended = torch.tensor([1.0, -momentum] + [0.0] * 59, dtype=torch.float64)
    assert_close(points[:, -1], ended, rtol=0, atol=1e-13)


WORST = worst_case(dimension=201, smoothness=4.0)
RADIUS = float((WORST.start - WORST.minimizers[0]).norm())
# Momentum t / (t + 3) after t steps, as Nesterov's proof wants it grow (Su, Boyd & Candes 2016).
GROWING = lambda optimizer, t: optimizer.param_groups[0].update(momentum=t / (t + 3))
BY_GRADIENTS = {
    "descent": {"make": SGD, "lr": 0.25},
    "heavy ball": {"make": SGD, "lr": 0.25, "momentum": 0.9},
    "nesterov": {"make": Nesterov, "lr": 0.25, "before": GROWING},
}


def accelerated(excess):
    """Whether the excess losses from the first step on keep Nesterov's bound for convex losses."""
    t = torch.arange(1, len(excess) + 1, dtype=torch.float64)
    return bool((excess <= 2 * 4.0 * RADIUS**2 / (t + 1) ** 2).all())


def test_nesterov_is_accelerated_on_convex_functions():
    ahead = path(WORST, 400, **BY_GRADIENTS["nesterov"])
    x = ahead - 0.25 * WORST.gradient(ahead)  # his x, one plain step from the point looked ahead to
    assert accelerated(WORST(x) - WORST.minimum)


@pytest.mark.parametrize("name", ["descent", "heavy ball"])
def test_descent_and_a_constant_momentum_are_not(name):
    points = path(WORST, 400, **BY_GRADIENTS[name])[1:]
    assert not accelerated(WORST(points) - WORST.minimum)


@pytest.mark.parametrize("name", BY_GRADIENTS)
def test_no_method_beats_the_lower_bound_of_first_order(name):
    excess = WORST(path(WORST, 100, **BY_GRADIENTS[name])) - WORST.minimum
    t = torch.arange(101, dtype=torch.float64)
    assert bool((excess >= 4.0 / 8 * (1 / (t + 1) - 1 / 202)).all())
    assert excess[-1] >= 3 * 4.0 * RADIUS**2 / (32 * 101**2)


# Where noise, saddles and cliffs are concerned.


def test_robbins_and_monros_rate_averages_the_noise_away():
    # With lr = 1 / (curvature t) the iterate is the mean of all that the noise pointed to so far,
    # wherever it started.
    curvature, source = 3.0, torch.Generator().manual_seed(0)
    noise = torch.randn(200, generator=source, dtype=torch.float64)
    w = torch.nn.Parameter(torch.tensor([50.0], dtype=torch.float64))
    optimizer = SGD([w], lr=1.0)
    for t, xi in enumerate(noise, 1):
        optimizer.param_groups[0]["lr"] = 1 / (curvature * t)
        w.grad = curvature * w.detach() + xi
        optimizer.step()
    assert_close(w.item(), -noise.mean().item() / curvature, rtol=1e-10, atol=0)


@pytest.mark.parametrize("lr", [0.05, 0.2])
def test_descent_leaves_a_saddle_by_the_factor_of_its_negative_curvature(lr):
    start = torch.tensor([1.0, 1e-7], dtype=torch.float64)
    y = path(saddle(), 30, start=start, lr=lr)[:, 1]
    assert_close(y[1:] / y[:-1], torch.full((30,), 1 + 2 * lr).double(), rtol=1e-3, atol=0)


def test_on_the_ridge_of_a_saddle_descent_ends_at_the_saddle():
    end = path(saddle(), 200, start=torch.tensor([1.0, 0.0], dtype=torch.float64), lr=0.1)[-1]
    assert_close(end, torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-12)


def test_a_cliff_throws_descent_away_and_clipping_holds_it():
    clipped = optimizer_class("Clipped", clip_by_global_norm(RULES["sgd"]))
    thrown = path(cliff(), 200, lr=0.1)
    held = path(cliff(), 200, make=clipped, lr=0.1, max_norm=1.0)
    longest = lambda points: float((points[1:] - points[:-1]).norm(dim=-1).max())
    assert longest(thrown) > 20 * longest(held)
    assert longest(held) <= 0.1 * (1 + 1e-9)
    assert thrown[:, 0].min() < -2  # to the far side of the bowl
    assert held[:, 0].min() > -0.1
    assert held[-1].norm() < 1e-3


# Every rule reaches minimizers.


@dataclass(frozen=True)
class Reach:
    """A run that must end within 1e-4 of a minimizer.

    Attributes:
        on: The landscape.
        lr: The learning rate at the start.
        steps: How many.
        to: Where the rate goes, in a straight line: 0 for what steps by the sign alone, as their
            papers let it fall, and wherever else a constant rate ends in a cycle.
        hyper: Other settings.
    """

    on: str
    lr: float
    steps: int = 300
    to: float = 1.0
    hyper: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.on


LANDSCAPES = {"ravine": ravine(10.0), "beale": beale(), "saddle": saddle(), "valley": rosenbrock()}
ROWS = {
    "sgd": [
        Reach("ravine", 0.1),
        Reach("saddle", 0.1),
        Reach("valley", 0.002, 1500, hyper={"momentum": 0.9}),
        Reach("beale", 0.01, 500, hyper={"momentum": 0.9, "nesterov": True}),
    ],
    "sgd_with_history": [Reach("ravine", 0.05), Reach("saddle", 0.2)],
    "momentum": [Reach("ravine", 0.02), Reach("beale", 0.01), Reach("valley", 0.002, 1500)],
    "nesterov": [Reach("ravine", 0.02), Reach("beale", 0.01, 400)],
    "asgd": [Reach("ravine", 0.1), Reach("saddle", 0.2, hyper={"lambd": 0.0})],
    "coordinate_descent": [
        Reach("ravine", 0.1),
        Reach("ravine", 0.1, hyper={"selection": "greedy"}),
        Reach("saddle", 0.2, hyper={"selection": "random"}),
    ],
    "sign_sgd": [Reach("ravine", 0.02, 1000, to=0), Reach("saddle", 0.01, 500, to=0)],
    "rprop": [Reach("ravine", 0.05), Reach("beale", 0.05), Reach("saddle", 0.01)],
    "lion": [Reach("ravine", 0.01, 1500, to=0), Reach("saddle", 0.01, 800, to=0)],
    "adagrad": [Reach("ravine", 1.5), Reach("saddle", 1.0, to=0)],
    "rmsprop": [Reach("ravine", 0.5, to=0), Reach("saddle", 0.1, to=0)],
    "adadelta": [Reach("ravine", 2.0, 800, to=0), Reach("saddle", 4.0, 400, to=0)],
    "adam": [Reach("ravine", 0.5, 500, to=0), Reach("beale", 0.3), Reach("saddle", 0.1)],
    "sparse_adam": [Reach("ravine", 0.2), Reach("beale", 0.4), Reach("saddle", 0.1)],
    "adamax": [Reach("ravine", 0.5), Reach("saddle", 0.3)],
    "nadam": [Reach("ravine", 1.0, to=0), Reach("saddle", 0.3, to=0)],
    "radam": [Reach("ravine", 0.1, 800, to=0), Reach("saddle", 0.2, to=0)],
    "yogi": [Reach("ravine", 0.2), Reach("beale", 0.15), Reach("saddle", 0.1)],
    "adabelief": [Reach("ravine", 0.3), Reach("beale", 0.3), Reach("saddle", 0.1)],
    "adan": [Reach("ravine", 1.0), Reach("saddle", 0.5, to=0)],
    "sophia": [Reach("ravine", 0.02, 1000, to=0)],
    "prodigy": [Reach("ravine", 1.0)],
    "shampoo": [Reach("ravine", 1.0)],
    "soap": [Reach("ravine", 0.05, 800, to=0)],
    "muon": [Reach("ravine", 0.015, 800, to=0), Reach("saddle", 0.03, 800, to=0)],
    "adafactor": [Reach("ravine", 0.5, 1400), Reach("saddle", 0.2, to=0)],
    "lamb": [Reach("ravine", 0.3), Reach("saddle", 0.005, 1200, to=0)],
    "lars": [Reach("ravine", 4.0), Reach("beale", 0.5, 1400, to=0)],
}
REACHES = [pytest.param(name, row, id=f"{name}-{row}") for name in ROWS for row in ROWS[name]]


def test_every_rule_has_a_landscape_that_it_must_come_down():
    assert {name for name, rows in ROWS.items() if rows} == set(RULES)


@pytest.mark.parametrize("name, row", REACHES)
def test_rules_reach_a_minimizer(name, row):
    land = LANDSCAPES[row.on]
    gaps = (land.minimizers - destination(name, row, land)).norm(dim=-1)
    assert gaps.min() < 1e-4


def destination(name, row, land):
    """Where a run ends, the rate falling in a straight line."""
    base = OPTIMIZERS[name.replace("_", "")].__base__
    made = optimizer_class(name, RULES[name], base=base)
    start = land.start.reshape(1, 2) if name == "muon" else land.start
    w = torch.nn.Parameter(start.clone())
    optimizer, chance = made([w], lr=row.lr, **row.hyper), torch.Generator().manual_seed(0)
    for step in range(row.steps):
        optimizer.param_groups[0]["lr"] = row.lr * (1 - (1 - row.to) * step / row.steps)
        optimizer.zero_grad()
        loss = land(w.reshape(2))
        if isinstance(optimizer, CurvatureOptimizer) and step % 10 == 0:
            optimizer.update_hessian(loss=loss, generator=chance)
        loss.backward()
        optimizer.step()
    return w.detach().reshape(2)
