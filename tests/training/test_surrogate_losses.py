"""Surrogates beside their definitions, their promise beside its closed form and beside Bayes."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linprog, minimize_scalar
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from thalweg.optim import SGD
from thalweg.training import fit
from thalweg.training.losses import (
    MARGIN_LOSSES,
    bound_on_excess,
    calibration_transform,
    crammer_singer,
    is_calibrated,
    margin_loss,
    margins,
    weston_watkins,
    zero_one_loss,
)

# Each once more, in plain Python, from Bartlett, Jordan & McAuliffe's table.
PHI = {
    "hinge": lambda m: max(0.0, 1 - m),
    "squared hinge": lambda m: max(0.0, 1 - m) ** 2,
    "squared": lambda m: (1 - m) ** 2,
    "logistic": lambda m: math.log(1 + math.exp(-m)),
    "exponential": lambda m: math.exp(-m),
}
PSI = {
    "hinge": lambda t: t,
    "squared hinge": lambda t: t * t,
    "squared": lambda t: t * t,
    "logistic": lambda t: sum(
        0.5 * (1 + s * t) * math.log(1 + s * t) if s * t > -1 else 0.0 for s in (1, -1)
    ),
    "exponential": lambda t: 1 - math.sqrt(1 - t * t),
}
THETAS = [0.0, 0.1, 0.35, 0.5, 0.8, 0.95, 1.0]


def outputs_and_classes(classes=4, count=30):
    source = torch.Generator().manual_seed(classes)
    outputs = torch.randn(count, classes, generator=source, dtype=torch.float64)
    return outputs, torch.randint(classes, (count,), generator=source)


def test_every_loss_has_a_reference():
    assert MARGIN_LOSSES.keys() == PHI.keys() == PSI.keys()


@pytest.mark.parametrize("name", PHI)
def test_phi_is_its_formula(name):
    at = [-3.0, -1.0, -0.2, 0.0, 0.5, 1.0, 1.7, 4.0]
    found = MARGIN_LOSSES[name].phi(torch.tensor(at, dtype=torch.float64))
    assert found.tolist() == pytest.approx([PHI[name](m) for m in at], rel=1e-13)


@pytest.mark.parametrize("name", PHI)
@pytest.mark.parametrize("targets", [[1, 0, 1, 0], [1, -1, 1, -1], [1.0, 0.0, 1.0, 0.0]])
@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_a_margin_loss_is_the_mean_over_signed_outputs(name, targets, shape):
    outputs = torch.tensor([0.5, 2.0, -1.0, -0.3], dtype=torch.float64)
    expected = [PHI[name](m) for m in (0.5, -2.0, -1.0, 0.3)]
    found = MARGIN_LOSSES[name](outputs.view(shape), torch.tensor(targets))
    assert float(found) == pytest.approx(sum(expected) / 4, rel=1e-13)


def test_the_logistic_loss_is_cross_entropy_of_two_classes():
    outputs, y = torch.randn(20, dtype=torch.float64), torch.randint(2, (20,))
    both = torch.stack([torch.zeros_like(outputs), outputs], 1)
    assert_close(margin_loss("logistic")(outputs, y), F.cross_entropy(both, y))
    assert_close(
        margin_loss("logistic")(outputs, y), F.soft_margin_loss(outputs, (2 * y - 1).double())
    )


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_the_hinges_of_several_classes_are_their_sums(classes):
    outputs, y = outputs_and_classes(classes)
    rows = list(zip(outputs.tolist(), y.tolist(), strict=True))
    rivals = lambda s, c: [s[j] - s[c] for j in range(classes) if j != c]
    one = [max(0.0, 1 + max(rivals(s, c))) for s, c in rows]
    all_ = [sum(max(0.0, 1 + r) for r in rivals(s, c)) for s, c in rows]
    wrong = [float(max(rivals(s, c)) >= 0) for s, c in rows]
    assert float(crammer_singer(outputs, y)) == pytest.approx(sum(one) / len(rows), rel=1e-13)
    assert float(weston_watkins(outputs, y)) == pytest.approx(sum(all_) / len(rows), rel=1e-13)
    assert zero_one_loss(outputs, y).tolist() == wrong
    assert_close(zero_one_loss(outputs, y).bool(), outputs.argmax(1) != y)


def test_a_tie_is_an_error():
    assert zero_one_loss(torch.zeros(2, 3), torch.tensor([0, 2])).tolist() == [1, 1]
    assert zero_one_loss(torch.zeros(2), torch.tensor([0, 1])).tolist() == [1, 1]


AT_AN_ERROR = [(loss, PHI[name](0.0)) for name, loss in MARGIN_LOSSES.items()]


@pytest.mark.parametrize("loss, least", [*AT_AN_ERROR, (crammer_singer, 1), (weston_watkins, 1)])
def test_an_error_costs_at_least_what_a_tie_costs(loss, least):
    """So that a small surrogate leaves few errors; with several classes a tie of two."""
    outputs, y = outputs_and_classes(3, 200)
    costs = torch.stack([loss(s[None], c[None]) for s, c in zip(outputs, y, strict=True)])
    errors = zero_one_loss(outputs, y).bool()
    assert costs[errors].min() >= least
    assert costs[~errors].min() < least


# Calibration.


@pytest.mark.parametrize("name", PHI)
@pytest.mark.parametrize("theta", THETAS)
def test_the_transform_is_its_closed_form_and_that_of_another_minimizer(name, theta):
    at = torch.tensor(theta, dtype=torch.float64)
    eta = (1 + theta) / 2
    cost = lambda f: eta * PHI[name](f) + (1 - eta) * PHI[name](-f)
    bounds = (-40, 40)
    least = minimize_scalar(cost, bounds=bounds, method="bounded", options={"xatol": 1e-12}).fun
    assert PHI[name](0.0) - least == pytest.approx(PSI[name](theta), abs=1e-7)
    assert float(MARGIN_LOSSES[name].psi(at)) == pytest.approx(PSI[name](theta), abs=1e-12)
    found = calibration_transform(MARGIN_LOSSES[name].phi, at)
    assert float(found) == pytest.approx(PSI[name](theta), abs=1e-11)


@pytest.mark.parametrize("name", PHI)
def test_the_promise_holds_for_every_classifier(name):
    """psi(R - R*) <= R_phi - R_phi* over random distributions on six points and functions."""
    source = np.random.default_rng(1)
    phi, psi = np.vectorize(PHI[name]), PSI[name]
    grid = np.linspace(-30, 30, 6001)
    for _ in range(40):
        weights, eta = source.dirichlet(np.ones(6)), source.uniform(size=6)
        f = source.normal(scale=source.choice([0.1, 1.0, 3.0]), size=6)
        risk = weights @ np.where(f > 0, 1 - eta, eta)
        bayes = weights @ np.minimum(eta, 1 - eta)
        surrogate = weights @ (eta * phi(f) + (1 - eta) * phi(-f))
        values = eta[:, None] * phi(grid) + (1 - eta[:, None]) * phi(-grid)
        excess = surrogate - weights @ values.min(1)
        assert psi(risk - bayes) <= excess + 1e-3  # the grid's minimum is a bit above
        assert risk - bayes <= bound_on_excess(MARGIN_LOSSES[name].psi, excess + 1e-3) + 1e-9


@pytest.mark.parametrize(
    "phi, calibrated",
    [
        *((loss.phi, True) for loss in MARGIN_LOSSES.values()),
        (lambda m: F.relu(-m), False),  # the perceptron's: its corner is at zero
        (lambda m: F.relu(m), False),
        (lambda m: m**2, False),
        (lambda m: -m, True),
    ],
)
def test_who_is_calibrated(phi, calibrated):
    assert is_calibrated(phi) is calibrated


def test_a_loss_that_is_not_convex_is_not_judged():
    with pytest.raises(ValueError, match="not convex"):
        is_calibrated(lambda m: torch.sigmoid(-3 * m))


def least_risk(p):
    """Outputs of the least Crammer-Singer risk, by a linear program.

    Over s and slacks t: min p . t with t_y >= 1 + s_j - s_y for all j other than y, t >= 0, and
    outputs that sum to zero.
    """
    one, pairs = np.eye(3), [(y, j) for y in range(3) for j in range(3) if y != j]
    rows = [np.concatenate([one[j] - one[y], -one[y]]) for y, j in pairs]
    sums = np.concatenate([np.ones(3), np.zeros(3)])[None]
    bounds = [(-10, 10)] * 3 + [(0, None)] * 3
    costs = np.concatenate([np.zeros(3), p])
    return linprog(costs, np.array(rows), -np.ones(len(rows)), sums, [0.0], bounds=bounds)


@pytest.mark.parametrize("p, has_majority", [((0.4, 0.35, 0.25), False), ((0.6, 0.3, 0.1), True)])
def test_crammer_singer_says_nothing_without_a_majority(p, has_majority):
    found = least_risk(np.array(p))
    outputs = torch.tensor(found.x[:3])
    risk = lambda s: sum(
        q * float(crammer_singer(s[None], torch.tensor([y]))) for y, q in enumerate(p)
    )
    assert risk(outputs) == pytest.approx(found.fun, abs=1e-9)
    if has_majority:
        assert outputs.argmax() == 0
        assert found.fun < 1 - 0.05
    else:
        assert found.fun == pytest.approx(risk(torch.zeros(3).double()), abs=1e-9)
        decided = torch.tensor([0.3, -0.1, -0.2], dtype=torch.float64)  # the right class, by Bayes
        assert risk(decided) > found.fun + 0.01


# What is refused.


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: margin_loss("hing"), "Did you mean 'hinge'"),
        (lambda: margins(torch.ones(3), torch.ones(4)), r"shapes \(3,\) and \(4,\)"),
        (lambda: zero_one_loss(torch.ones(3, 2), torch.ones(3)), "that number classes"),
        (lambda: crammer_singer(torch.ones(3), torch.ones(3)), r"give \(n, classes\)"),
        (lambda: weston_watkins(torch.ones(3, 1), torch.ones(3)), r"take margin_loss\('hinge'\)"),
        (lambda: bound_on_excess(torch.abs, -1.0), "not negative"),
        (lambda: calibration_transform(torch.abs, torch.tensor(1.5)), "0..1"),
    ],
)
def test_what_cannot_be_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# The claim: margins widen after the last error on the training set is gone (Farkaš, slide 3).


def clouds(count, seed):
    source = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % 2
    x = torch.randn(count, 2, generator=source, dtype=torch.float64)
    return x + 2.5 * (2 * y[:, None] - 1), y


@pytest.mark.parametrize(
    "name, widens", [("logistic", True), ("exponential", True), ("hinge", True), ("0-1", False)]
)
def test_margins_widen_after_the_last_error(name, widens):
    """Geometric margins, y f(x) / |w|: a larger w alone would widen nothing."""
    x, y = clouds(40, 0)
    model = nn.Linear(2, 1).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.05, 0.2]]))
        model.bias.fill_(0.1)
    perceptron = lambda outputs, targets: F.relu(-margins(outputs, targets)).mean()
    loss = perceptron if name == "0-1" else MARGIN_LOSSES[name]
    smallest, errors = [], []
    for _ in range(80):
        fit(model, loss, (x, y), None, SGD(model.parameters(), lr=0.1), epochs=3, batch_size="all")
        with torch.no_grad():
            m = margins(model(x), y) / model.weight.norm()
        smallest.append(m.min().item())
        errors.append((m <= 0).sum().item())
    first = errors.index(0)
    assert not any(errors[first:])
    if widens:
        assert smallest[-1] > 1.1 * smallest[first]
    else:  # without a surrogate that goes on where no error is left, nothing moves
        assert smallest[-1] == pytest.approx(smallest[first], abs=1e-12)


def test_a_corner_at_zero_is_not_calibrated_even_where_both_sides_fall():
    """Theorem 2 of Bartlett et al.: it needs a derivative at 0."""
    cornered = lambda m: torch.maximum(-3 * m, -m)
    assert not is_calibrated(cornered)
    assert is_calibrated(lambda m: torch.exp(-m))


@pytest.mark.parametrize(
    "name, excess, allowed",
    [("hinge", 0.3, 0.3), ("squared", 0.25, 0.5), ("exponential", 0.2, 0.6), ("squared", 4.0, 1)],
)
def test_an_excess_allows_what_solves_the_transform(name, excess, allowed):
    found = bound_on_excess(MARGIN_LOSSES[name].psi, excess)
    assert found == pytest.approx(allowed, abs=1e-12)
