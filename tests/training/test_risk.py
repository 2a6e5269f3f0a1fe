"""Intervals beside SciPy's and by the share of data sets that they cover; risk, gap and curve."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from thalweg.optim import SGD
from thalweg.training import estimate, fit, generalization, learning_curve, risk
from thalweg.training.losses import zero_one_loss
from thalweg.training.risk import losses_by_sample

SHARES = [(0, 1), (1, 1), (0, 20), (20, 20), (3, 20), (37, 400), (5000, 9999)]


def zeros_and_ones(k, n):
    return torch.cat([torch.ones(k), torch.zeros(n - k)])


@pytest.mark.parametrize("k, n", SHARES)
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
@pytest.mark.parametrize("ours, theirs", [("wilson", "wilson"), ("clopper-pearson", "exact")])
def test_intervals_of_shares_are_scipys(k, n, confidence, ours, theirs):
    found = estimate(zeros_and_ones(k, n), interval=ours, confidence=confidence)
    expected = stats.binomtest(k, n).proportion_ci(confidence, theirs)
    assert (found.lower, found.upper) == pytest.approx(tuple(expected), abs=1e-9)
    assert found.value == pytest.approx(k / n, rel=1e-15)


@pytest.mark.parametrize("n", [2, 3, 10, 400])
def test_students_interval_is_scipys(n):
    values = np.random.default_rng(n).normal(size=n)
    found = estimate(torch.tensor(values), confidence=0.9)
    expected = stats.t.interval(0.9, n - 1, values.mean(), stats.sem(values))
    assert (found.lower, found.upper) == pytest.approx(expected, rel=1e-9)
    assert found.interval == "student"


def test_the_bootstraps_interval_is_that_of_its_definition():
    """For two values the mean of two draws is 0, 1/2 or 1 of the way: all quantiles are known."""
    found = estimate(torch.tensor([1.0, 3.0]), interval="bootstrap", confidence=0.9)
    assert (found.lower, found.upper) == (1.0, 3.0)
    inside = estimate(torch.tensor([1.0, 3.0]), interval="bootstrap", confidence=0.4)
    assert (inside.lower, inside.upper) == (2.0, 2.0)
    values = torch.tensor(np.random.default_rng(0).normal(size=200))
    wide = estimate(values, interval="bootstrap")
    normal = estimate(values)
    assert wide.lower == pytest.approx(normal.lower, abs=0.03)
    assert wide.upper == pytest.approx(normal.upper, abs=0.03)
    assert wide == estimate(values, interval="bootstrap")
    assert wide != estimate(values, interval="bootstrap", seed=1)


# Coverage.


@pytest.mark.parametrize("n, p", [(10, 0.1), (30, 0.5), (60, 0.02)])
def test_the_exact_interval_covers_at_least_what_it_says(n, p):
    """Summed over all outcomes, not simulated."""
    chances = stats.binom(n, p)
    covers = {name: 0.0 for name in ("wilson", "clopper-pearson")}
    for name in covers:
        for k in range(n + 1):
            found = estimate(zeros_and_ones(k, n), interval=name)
            covers[name] += chances.pmf(k) * (found.lower <= p <= found.upper)
    assert covers["clopper-pearson"] >= 0.95
    assert covers["wilson"] > 0.9  # near 0.95 on average over p, and not for each


def test_wilsons_interval_covers_what_it_says_on_average():
    n, outcomes = 25, np.arange(26)
    ends = [estimate(zeros_and_ones(k, n), interval="wilson") for k in outcomes]
    lower, upper = (np.array([getattr(e, side) for e in ends]) for side in ("lower", "upper"))
    shares = np.linspace(0.005, 0.995, 199)
    covered = [
        stats.binom(n, p).pmf(outcomes) @ ((lower <= p) & (p <= upper)).astype(float)
        for p in shares
    ]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize("interval, n, least", [("student", 12, 0.95), ("bootstrap", 60, 0.93)])
def test_intervals_of_means_cover(interval, n, least):
    source = np.random.default_rng(7)
    runs, hits = 400, 0
    for _ in range(runs):
        found = estimate(torch.tensor(source.normal(3.0, size=n)), interval=interval)
        hits += found.lower <= 3.0 <= found.upper
    assert abs(hits / runs - least) < 3 * math.sqrt(least * (1 - least) / runs)


# Risk.


class Constant(nn.Module):
    """Says what it is asked to say; a parameter lets it be somewhere."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(()))
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        return self.drop(x + self.bias)


def squared(outputs, targets):
    return (outputs - targets).square()


def test_risk_is_the_mean_in_eval_mode_over_all_batches():
    source = torch.Generator().manual_seed(0)
    x, y = (torch.randn(700, generator=source, dtype=torch.float64) for _ in range(2))
    model = Constant()
    found = risk(model, squared, (x, y))
    assert found.value == pytest.approx(float((x - y).square().mean()), rel=1e-12)
    assert found.samples == 700
    assert model.training
    assert model.drop.training
    batches = [(x[i : i + 90], y[i : i + 90]) for i in range(0, 700, 90)]
    assert_close(losses_by_sample(model, squared, batches), (x - y).square())


def test_the_zero_one_loss_has_wilsons_interval():
    outputs = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0], [1.0, 0.0]])
    found = risk(Constant(), zero_one_loss, (outputs, torch.tensor([0, 0, 0, 0])))
    assert found.interval == "wilson"
    assert found.value == 0.25
    assert str(found) == "0.25 [0.04559, 0.6994]"


def experiment(seed):
    """An overfitted line in 8 dimensions, 12 samples; its true risk is |w - w*|^2 + noise."""
    source = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=source, dtype=torch.float64)
    x, held = draw(12, 8), draw(40, 8)
    truth = torch.ones(8, dtype=torch.float64)
    y, held_y = x @ truth + draw(12), held @ truth + draw(40)
    model = nn.Linear(8, 1, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.linalg.lstsq(x, y[:, None]).solution.T)
    true_risk = float((model.weight - truth).square().sum().detach()) + 1.0
    loss = lambda outputs, targets: (outputs.squeeze(1) - targets).square()
    return generalization(model, loss, (x, y), (held, held_y)), true_risk


def test_the_intervals_of_risk_and_gap_cover_and_that_of_the_training_data_does_not():
    held_out, gap, train, runs = 0, 0, 0, 300
    for seed in range(runs):
        found, truth = experiment(seed)
        held_out += found.held_out.lower <= truth <= found.held_out.upper
        gap += found.gap.lower <= truth - found.train.value <= found.gap.upper
        train += found.train.lower <= truth <= found.train.upper
        assert found.gap.value == pytest.approx(found.held_out.value - found.train.value)
    # Squares of normal variables are skewed: 40 of them make the interval a bit too short.
    assert 0.88 < held_out / runs < 0.98
    assert gap == held_out
    assert train / runs < 0.1


# The learning curve.


def test_training_sets_are_nested_and_each_seed_has_its_own_order():
    x, seen = torch.arange(40.0), []

    def trained(inputs, targets, seed):
        seen.append((seed, len(inputs), frozenset(inputs.tolist())))
        return Constant()

    curve = learning_curve(trained, squared, (x, x), (x, x + 2), [5, 10, 40], seeds=(0, 1))
    assert Counter((seed, size) for seed, size, _ in seen) == Counter(
        (seed, size) for seed in (0, 1) for size in (5, 10, 40)
    )
    sets = {(seed, size): rows for seed, size, rows in seen}
    for seed in (0, 1):
        assert sets[seed, 5] < sets[seed, 10] < sets[seed, 40]
    assert sets[0, 10] != sets[1, 10]
    assert [point.samples for point in curve] == [5, 10, 40]
    assert [point.train.value for point in curve] == [0, 0, 0]
    assert [point.held_out.value for point in curve] == [4, 4, 4]


def test_more_data_brings_training_and_held_out_risk_together():
    source = torch.Generator().manual_seed(1)
    x = torch.randn(500, 10, generator=source, dtype=torch.float64)
    y = (x[:, 0] + torch.randn(500, generator=source, dtype=torch.float64) > 0).long()

    def trained(inputs, targets, seed):
        torch.manual_seed(seed)
        model = nn.Linear(10, 2).double()
        optimizer = SGD(model.parameters(), lr=1.0)
        fit(model, F.cross_entropy, (inputs, targets), None, optimizer, epochs=60,
            batch_size="all")  # fmt: skip
        return model

    loss = nn.CrossEntropyLoss(reduction="none")
    held = (x[300:], y[300:])
    small, large = learning_curve(
        trained, loss, (x[:300], y[:300]), held, [20, 300], seeds=range(4)
    )
    gap = lambda point: point.held_out.value - point.train.value
    assert small.train.value < large.train.value
    assert small.held_out.lower > large.held_out.upper
    assert gap(large) < 0.3 * gap(small)


# What is refused.


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: estimate(torch.ones(3), interval="wilsn"), "Did you mean 'wilson'"),
        (lambda: estimate(torch.ones(3), confidence=95), "share between 0 and 1"),
        (lambda: estimate(torch.tensor([0.3, 1.0]), interval="wilson"), "losses of 0 and 1"),
        (lambda: estimate(torch.tensor([0.3])), "1 samples; it needs at least 2"),
        (lambda: estimate(torch.ones(0)), "0 samples; it needs at least 1"),
        (
            lambda: risk(Constant(), F.mse_loss, (torch.ones(3), torch.ones(3))),
            r"for 3 samples the loss has the shape \(\)",
        ),
        (lambda: learning_curve(None, squared, (torch.ones(3),) * 2, None, [4]), "4 is not among"),
        (
            lambda: learning_curve(None, squared, (torch.ones(3),) * 2, None, [2], seeds=[1]),
            "two seeds at least",
        ),
    ],
)
def test_what_cannot_be_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
