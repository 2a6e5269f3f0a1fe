"""Wrappers against their papers' pseudo-code, one coordinate at a time in Python's own floats."""

import math

import numpy as np
import pytest
import torch
from optim_cases import SAMPLES, after, gradients, stepped
from torch.testing import assert_close

from thalweg.optim import (
    RULES,
    Engine,
    bound_units,
    clip_adaptively,
    clip_by_percentile,
    clip_by_tensor_norm,
    decoupled,
    decoupled_from_lr,
    l1,
    l2,
    lookahead,
    rescaled,
    schedule_free,
)

STEPS = 203  # no multiple of what the wrappers count
NEAR = {"rtol": 1e-10, "atol": 1e-12}
SGD = {"lr": 0.01, "momentum": 0.9}
ADAM = {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-3}
BARE_ADAM = {**ADAM, "betas": (0.0, 0.95)}


class Momentum:
    """Heavy ball on one coordinate."""

    def __init__(self, lr, momentum):
        self.lr, self.momentum, self.b = lr, momentum, 0.0

    def __call__(self, p, g):
        self.b = self.momentum * self.b + g
        return p - self.lr * self.b


class Adam:
    """Kingma & Ba, algorithm 1, on one coordinate."""

    def __init__(self, lr, betas, eps):
        self.lr, self.betas, self.eps = lr, betas, eps
        self.t, self.m, self.v = 0, 0.0, 0.0

    def __call__(self, p, g):
        (b1, b2), self.t = self.betas, self.t + 1
        self.m = b1 * self.m + (1 - b1) * g
        self.v = b2 * self.v + (1 - b2) * g * g
        m_hat, v_hat = self.m / (1 - b1**self.t), self.v / (1 - b2**self.t)
        return p - self.lr * m_hat / (math.sqrt(v_hat) + self.eps)


BASES = {"sgd": (Momentum, SGD), "adam": (Adam, ADAM)}
every_base = pytest.mark.parametrize("name", BASES)


def problem(*shape, steps=STEPS):
    shape = shape or (6,)
    return gradients([shape], 1, seed=7)[0][0], [gs[0] for gs in gradients([shape], steps, seed=8)]


def coordinates(walk, p, grads):
    """The walk of every coordinate alone: `walk(p, gradients)`."""
    columns = torch.stack(grads).flatten(1).T.tolist()
    ends = [walk(x, gs) for x, gs in zip(p.flatten().tolist(), columns, strict=True)]
    return torch.tensor(ends, dtype=p.dtype).view_as(p)


@every_base
@pytest.mark.parametrize("k, alpha", [(5, 0.5), (1, 0.3), (6, 0.8), (4, 0.0)])
def test_lookahead_is_algorithm_1(name, k, alpha):
    make, hyper = BASES[name]

    def walk(slow, grads):
        inner, rest = make(**hyper), list(grads)
        while len(rest) >= k:
            fast = slow
            for _ in range(k):
                fast = inner(fast, rest.pop(0))
            slow = slow + alpha * (fast - slow)
        for g in rest:
            slow = inner(slow, g)
        return slow

    p, grads = problem()
    got = after(lookahead(RULES[name]), p, grads, lookahead_steps=k, lookahead_alpha=alpha, **hyper)
    assert_close(got, coordinates(walk, p, grads), **NEAR)


def schedule_free_walk(normalize, lr, beta, warmup, r, power, decay, decay_at_z):
    """The paper's three sequences as they are written; the last y and the last x."""

    def walk(z, grads):
        x, total, largest, scale = z, 0.0, 0.0, normalize()
        y = z
        for t, g in enumerate(grads, 1):
            gamma = (lr(t) if callable(lr) else lr) * (min(1, t / warmup) if warmup else 1)
            d = scale(g) + decay * (z if decay_at_z else y)
            z = z - gamma * d
            largest = max(largest, gamma)
            total += t**r * largest**power
            c = t**r * largest**power / total
            x = (1 - c) * x + c * z
            y = (1 - beta) * z + beta * x
        return y, x

    return walk


def plain():
    return lambda g: g


class ByRoot:
    """g / (sqrt(v_hat) + eps), of the paper's algorithm 1."""

    def __init__(self):
        self.t, self.v = 0, 0.0

    def __call__(self, g):
        (_, b2), self.t = ADAM["betas"], self.t + 1
        self.v = b2 * self.v + (1 - b2) * g * g
        return g / (math.sqrt(self.v / (1 - b2**self.t)) + ADAM["eps"])


@pytest.mark.parametrize("name, normalize", [("sgd", plain), ("adam", ByRoot)])
@pytest.mark.parametrize("beta, warmup", [(0.9, 0), (0.5, 20), (1.0, 3)])
@pytest.mark.parametrize("r, power", [(0.0, 2.0), (2.0, 0.0), (0.5, 1.0)])
@pytest.mark.parametrize("decay, at_z", [(0.0, False), (0.1, False), (0.1, True)])
def test_schedule_free_is_the_papers(name, normalize, beta, warmup, r, power, decay, at_z):
    p, grads = problem(3)
    made = schedule_free(RULES[name])
    hyper = made.settings(
        **{"lr": 0.01} if name == "sgd" else BARE_ADAM,
        **{"interpolation": beta, "warmup_steps": warmup, "r": r, "weight_lr_power": power},
        **{"weight_decay": decay, "decay_at_z": at_z},
    )
    walk = schedule_free_walk(normalize, 0.01, beta, warmup, r, power, decay, at_z)
    (got,), (state,) = stepped(made, [p], [[g] for g in grads], **hyper)
    assert_close(got, coordinates(lambda x, gs: walk(x, gs)[0], p, grads), **NEAR)
    average = made.average(got, state, hyper)
    assert_close(average, coordinates(lambda x, gs: walk(x, gs)[1], p, grads), **NEAR)


def test_schedule_free_weights_by_the_largest_learning_rate_so_far():
    p, grads = problem(3)
    rate = lambda t: 0.1 if t < 20 else 0.02
    walk = schedule_free_walk(plain, rate, 0.9, 5, 0.0, 2.0, 0.0, False)
    made, q = schedule_free(RULES["sgd"]), torch.nn.Parameter(p.clone())
    engine, state = Engine(made), {q: {}}
    with torch.no_grad():
        for t, g in enumerate(grads, 1):
            q.grad = g
            engine.step([{"params": [q], **made.settings(lr=rate(t), warmup_steps=5)}], state)
    assert_close(q.detach(), coordinates(lambda x, gs: walk(x, gs)[0], p, grads), **NEAR)


def test_schedule_free_averages_all_alike_when_weights_are_constant():
    p, grads = problem(steps=50)
    made = schedule_free(RULES["sgd"])
    zs = [p - 0.1 * sum(grads[: t + 1]) for t in range(50)]
    (got,), (state,) = stepped(made, [p], [[g] for g in grads], lr=0.1)
    assert_close(made.average(got, state, made.settings()), sum(zs) / 50)


@pytest.mark.parametrize("wrapper", [lookahead, schedule_free])
@pytest.mark.parametrize("name", SAMPLES)
def test_a_late_parameter_walks_as_if_it_had_come_at_once(wrapper, name):
    p, grads = problem(steps=20)
    made = wrapper(RULES[name])
    early, late = (torch.nn.Parameter(p.clone()) for _ in range(2))
    engine, state = Engine(made), {early: {}, late: {}}
    with torch.no_grad():
        for step in range(23):
            early.grad = grads[step % 20]
            late.grad = grads[step - 3] if step >= 3 else None
            engine.step([{"params": [early, late], **made.settings(lr=0.1)}], state)
    assert_close(late.detach(), after(made, p, grads, lr=0.1), rtol=0, atol=0)


@every_base
def test_l1_by_subgradient_adds_the_sign(name):
    make, hyper = BASES[name]

    def walk(p, grads):
        inner = make(**hyper)
        for g in grads:
            p = inner(p, g + 0.1 * math.copysign(1, p))
        return p

    p, grads = problem()
    got = after(l1(RULES[name]), p, grads, l1_penalty=0.1, **hyper)
    assert_close(got, coordinates(walk, p, grads), **NEAR)


@every_base
def test_l1_by_the_proximal_form_draws_to_zero_and_stops_there(name):
    make, hyper = BASES[name]

    def walk(p, grads):
        inner = make(**hyper)
        for g in grads:
            p = inner(p, g)
            p = p - 0.005 if p > 0.005 else p + 0.005 if p < -0.005 else 0.0
        return p

    p, grads = problem(40)
    got = after(l1(RULES[name]), p, grads, l1_penalty=0.5, proximal=True, **hyper)
    assert_close(got, coordinates(walk, p, grads), **NEAR)


def test_iterative_soft_thresholding_ends_at_the_lasso():
    a = torch.tensor([1.0, 2.0, 4.0, 1.0], dtype=torch.float64)
    b = torch.tensor([3.0, -2.0, 0.1, -0.2], dtype=torch.float64)
    made, p = l1(RULES["sgd"]), torch.nn.Parameter(torch.ones(4, dtype=torch.float64))
    engine, group = Engine(made), made.settings(lr=0.2, l1_penalty=0.5, proximal=True)
    with torch.no_grad():
        for _ in range(300):
            p.grad = a * (p - b)
            engine.step([{"params": [p], **group}], {p: {}})
    lasso = [math.copysign(max(abs(y) - 0.5 / x, 0), y) for x, y in zip(a, b, strict=True)]
    assert_close(p.detach(), torch.tensor(lasso, dtype=torch.float64), **NEAR)
    assert p[2] == p[3] == 0


@every_base
def test_rescaling_is_decoupled_decay_by_another_name(name):
    hyper = BASES[name][1]
    p, grads = problem()
    got = after(rescaled(RULES[name]), p, grads, rescaling=0.98, **hyper)
    decay = after(decoupled(RULES[name]), p, grads, weight_decay=0.02 / hyper["lr"], **hyper)
    assert_close(got, decay, **NEAR)


def test_rescaling_leads_to_l2_for_plain_descent_only():
    p, grads = problem()
    got = after(rescaled(RULES["sgd"]), p, grads, rescaling=0.98, lr=0.01)
    penalty = after(l2(RULES["sgd"]), p, grads, weight_decay=0.02 / 0.01, lr=0.01)
    assert_close(got, penalty, **NEAR)
    got = after(rescaled(RULES["adam"]), p, grads, rescaling=0.98, **ADAM)
    penalty = after(l2(RULES["adam"]), p, grads, weight_decay=0.02 / 0.01, **ADAM)
    assert not torch.allclose(got, penalty, rtol=0.1)


@pytest.mark.parametrize("peak", [0.02, None])
def test_decay_apart_from_the_learning_rate_is_loshchilov_and_hutters(peak):
    """Their algorithm 2: eta_t (alpha m_hat / root + lambda p), with the schedule eta_t."""
    eta = [min(1, (t + 1) / 5) * (0.5 if t > 20 else 1) for t in range(40)]

    def walk(p, grads):
        adam = Adam(1.0, **{k: v for k, v in ADAM.items() if k != "lr"})
        for factor, g in zip(eta, grads, strict=True):
            change = -adam(0.0, g)
            p = p - factor * 0.02 * change - (factor if peak else 1) * 0.01 * p
        return p

    p, grads = problem(steps=40)
    made, q = decoupled_from_lr(RULES["adam"]), torch.nn.Parameter(p.clone())
    engine, state = Engine(made), {q: {}}
    with torch.no_grad():
        for factor, g in zip(eta, grads, strict=True):
            hyper = made.settings(**{**ADAM, "lr": 0.02 * factor}, weight_decay=0.01, peak_lr=peak)
            q.grad = g
            engine.step([{"params": [q], **hyper}], state)
    assert_close(q.detach(), coordinates(walk, p, grads), **NEAR)


def units(x):
    """The rows of a nested list, flat; a vector is one row."""
    return x.reshape(x.shape[0] if x.dim() > 1 else 1, -1).tolist()


def length(row):
    return math.sqrt(math.fsum(x * x for x in row))


SHAPES = [(4, 3), (5,), (), (2, 3, 2, 2)]


@pytest.mark.parametrize("shape", SHAPES)
def test_adaptive_clipping_is_equation_3(shape):
    p, grads = problem(*shape)
    p[:1] = 0.0 if p.dim() else p[:1]  # a unit that starts at nothing
    got = after(clip_adaptively(RULES["sgd"]), p, grads, clip_factor=0.2, clip_floor=0.5, lr=0.1)
    rows = units(p)
    for g in grads:
        for row, slope in zip(rows, units(g), strict=True):
            bound = 0.2 * max(length(row), 0.5)
            factor = bound / length(slope) if length(slope) > bound else 1.0
            row[:] = [x - 0.1 * factor * y for x, y in zip(row, slope, strict=True)]
    assert_close(got, torch.tensor(rows, dtype=p.dtype).view_as(p), **NEAR)


@pytest.mark.parametrize("wrapper, off", [(clip_adaptively, "clip_factor"),
                                          (clip_by_tensor_norm, "max_tensor_norm"),
                                          (clip_by_percentile, "clip_percentile"),
                                          (bound_units, "max_unit_norm")])  # fmt: skip
def test_none_switches_a_bound_off(wrapper, off):
    p, grads = problem(4, 3, steps=5)
    grads = [100 * g for g in grads]
    got = after(wrapper(RULES["adam"]), p, grads, **{off: None})
    assert_close(got, after(RULES["adam"], p, grads), rtol=0, atol=0)
    assert not torch.equal(
        after(wrapper(RULES["sgd"]), p, grads, lr=1.0), after(RULES["sgd"], p, grads, lr=1.0)
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_units_are_kept_within_a_ball(shape):
    p, grads = problem(*shape)
    got = after(bound_units(RULES["sgd"]), p, grads, max_unit_norm=0.7, lr=0.1)
    rows = units(p)
    for g in grads:
        for row, slope in zip(rows, units(g), strict=True):
            moved = [x - 0.1 * y for x, y in zip(row, slope, strict=True)]
            row[:] = [x * min(1, 0.7 / length(moved)) for x in moved]
    assert_close(got, torch.tensor(rows, dtype=p.dtype).view_as(p), **NEAR)


def test_clipping_by_tensor_norm_is_pytorchs_one_parameter_at_a_time():
    starts, grads = gradients(SHAPES, 1, seed=5)[0], gradients(SHAPES, 20)
    got, _ = stepped(clip_by_tensor_norm(RULES["adam"]), starts, grads, max_tensor_norm=1.5)
    for gs in grads:
        for index, g in enumerate(gs):
            p = torch.nn.Parameter(torch.zeros_like(g))
            p.grad = g.clone()
            torch.nn.utils.clip_grad_norm_([p], 1.5)
            gs[index] = p.grad
    assert_close(got, stepped(RULES["adam"], starts, grads)[0], **NEAR)


@pytest.mark.parametrize("form", ["each", "together", "blocks"])
@pytest.mark.parametrize("percentile, window", [(90.0, 10), (50.0, 7), (0.0, 3), (100.0, 5)])
def test_clipping_by_percentile_is_numpys_percentile(percentile, window, form):
    starts, grads = gradients(SHAPES, 1, seed=5)[0], gradients(SHAPES, 60)
    norms, cut = [], []
    for gs in grads:
        norms.append(math.sqrt(math.fsum(x * x for g in gs for x in g.flatten().tolist())))
        factor = min(1.0, float(np.percentile(norms[-window:], percentile)) / norms[-1])
        cut.append([factor * g for g in gs])
    made, hyper = clip_by_percentile(RULES["adam"]), {"clip_percentile": percentile}
    got, states = stepped(made, starts, grads, form, clip_window=window, **hyper)
    assert_close(got, stepped(RULES["adam"], starts, cut)[0], **NEAR)
    assert_close(states[0]["recent_norms"], torch.tensor(norms[-window:], dtype=torch.float64))


def test_a_norm_that_is_not_finite_does_not_lift_the_limit():
    p, grads = torch.zeros(1, dtype=torch.float64), [torch.ones(1, dtype=torch.float64)] * 3
    made = clip_by_percentile(RULES["sgd"])
    _, (state,) = stepped(made, [p], [[torch.full_like(p, torch.inf)], *([g] for g in grads)])
    assert state["recent_norms"].nan_to_num(-1).tolist() == [-1.0] * 97 + [1.0] * 3


def test_the_fullest_window_decides_for_a_late_parameter():
    early, late = (torch.nn.Parameter(torch.zeros(1, dtype=torch.float64)) for _ in range(2))
    made = clip_by_percentile(RULES["sgd"])
    engine, state = Engine(made), {early: {}, late: {}}
    group = {"params": [late, early], **made.settings(lr=1.0, clip_percentile=50.0)}
    with torch.no_grad():
        for _ in range(9):
            early.grad = torch.ones(1, dtype=torch.float64)
            engine.step([group], state)
        early.grad, late.grad = (torch.full((1,), x, dtype=torch.float64) for x in (3.0, 4.0))
        engine.step([group], state)
    assert_close(late.item(), -4 / 5)
    assert_close(early.item(), -9 - 3 / 5)
