"""Inertia against counted eigenvalues: what is proved, what is likely, and how often it holds."""

import math

import pytest
import torch
from spectra import SPECTRA, Counting, line, with_spectrum
from torch import nn
from torch.nn import functional as F

from thalweg.linalg import inertia
from thalweg.operators import Hessian, Matrix

every_spectrum = pytest.mark.parametrize("values", SPECTRA.values(), ids=SPECTRA.keys())


def counts(found):
    return (found.negative, found.zero, found.positive)


def exact_counts(values, threshold):
    values = torch.as_tensor(values, dtype=torch.float64)
    below, above = int((values < -threshold).sum()), int((values > threshold).sum())
    return (below, len(values) - below - above, above)


def holds(count, true):
    return count.low <= true <= count.high


@every_spectrum
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_is_exact_where_the_matrix_is_small(values, dtype):
    if dtype == torch.float32 and max(map(abs, values)) > 1e38:
        pytest.skip("beyond float32's range")
    found = inertia(with_spectrum(values, dtype=dtype))
    expected = exact_counts(values, found.threshold)
    assert found.exact
    assert found.products == len(values)
    for count, true in zip(counts(found), expected, strict=True):
        assert count.at_least == count.low == count.estimate == count.high == count.at_most == true


@every_spectrum
@pytest.mark.parametrize("products", [1, 4, 9])
@pytest.mark.parametrize("negligible", [1e-6, 0.1])
def test_what_is_proved_is_true(values, products, negligible):
    if len(values) <= products:
        pytest.skip("counted one by one")
    operator = with_spectrum(values)
    found = inertia(operator, max_products=products, negligible=negligible)
    expected = exact_counts(torch.linalg.eigvalsh(operator.to_dense()), found.threshold)
    assert not found.exact
    assert found.products <= products
    for count, true in zip(counts(found), expected, strict=True):
        assert count.at_least <= true <= count.at_most
        assert count.at_least <= count.low <= count.estimate <= count.high <= count.at_most


@pytest.mark.parametrize(
    "values",
    [
        line(-1, 2, 150),
        [0.0] * 120 + line(-1, -0.2, 20) + line(0.1, 3, 10),
        [*line(-1e-3, 1e-3, 140), -0.02, -0.01, 0.05, 0.1, 0.2, 0.62],
        [1.0] * 100 + [-1.0] * 50,
    ],
    ids=["even", "rank deficient", "like a network", "two values"],
)
@pytest.mark.parametrize("negligible", [1e-6, 0.02])
def test_the_intervals_hold_as_often_as_they_say(values, negligible):
    operator, seeds, failure = Matrix(torch.diag(torch.tensor(values).double())), 100, 0.1
    missed = [0, 0, 0]
    for seed in range(seeds):
        found = inertia(
            operator, max_products=12, negligible=negligible, confidence=1 - failure, seed=seed
        )
        expected = exact_counts(values, found.threshold)
        for i, (count, true) in enumerate(zip(counts(found), expected, strict=True)):
            missed[i] += not holds(count, true)
    assert max(missed) <= (failure + 3 * math.sqrt(failure / seeds)) * seeds


def test_more_products_tell_more():
    operator = with_spectrum(line(-1, 2, 400))
    few, many = (inertia(operator, max_products=m) for m in (10, 150))
    assert few.negative.at_least < many.negative.at_least
    widths = [found.negative.high - found.negative.low for found in (few, many)]
    sampling = 2 * 1.96 * math.sqrt(2 * 400 * 1 / 3 * 2 / 3)  # of one start's squared part
    assert sampling * 0.95 < widths[1] < 1.2 * sampling < 0.6 * widths[0]
    assert holds(many.negative, 133)


def test_few_distinct_values_leave_products_for_more_starts():
    operator = Counting(Matrix(torch.diag(torch.tensor([1.0] * 300 + [-1.0] * 100).double())))
    one, several = (inertia(operator, max_products=m) for m in (2, 60))
    assert one.products == 2
    assert 40 <= several.products <= 60
    widths = [found.negative.high - found.negative.low for found in (one, several)]
    assert widths[1] < widths[0] / 3
    assert holds(several.negative, 100)
    assert several.negative.estimate == pytest.approx(100, abs=15)


def test_products_are_counted_one_by_one():
    operator = Counting(with_spectrum(line(-1, 2, 100)))
    assert inertia(operator, max_products=30).products == operator.count == 30


def test_a_networks_hessian():
    x, y = torch.randn(60, 8, dtype=torch.float64), torch.randint(0, 4, (60,))
    model = nn.Sequential(nn.Linear(8, 20), nn.Tanh(), nn.Linear(20, 4)).double()
    with Hessian.of_model(model, F.cross_entropy, (x, y)) as hessian:
        found = inertia(hessian, max_products=60, negligible=1e-3)
        known = inertia(hessian, max_products=hessian.size, negligible=1e-3)
    assert known.exact
    assert known.threshold == pytest.approx(found.threshold, rel=1e-6)
    for count, true in zip(counts(found), counts(known), strict=True):
        assert count.at_least <= true.at_least <= count.at_most
        assert holds(count, true.at_least)
    assert found.negative.at_least > 0


def test_the_same_seed_gives_the_same_answer_and_leaves_the_programs_stream_alone():
    operator, state = with_spectrum(line(-1, 2, 100)), torch.get_rng_state()
    first, again, other = (inertia(operator, max_products=20, seed=s) for s in (3, 3, 4))
    assert first == again
    assert first.negative.estimate != other.negative.estimate
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("products", [20, 60])
def test_rounding_is_the_least_threshold(products):
    operator = with_spectrum(line(-1, 1, 60), dtype=torch.float32)
    found = inertia(operator, negligible=0.0, max_products=products)
    assert 1e-7 < found.threshold < 1e-4


def test_entries_that_are_not_finite_are_named():
    operator = Counting(with_spectrum(line(-1, 1, 9)), lambda w, count: w / (count != 4))
    with pytest.raises(FloatingPointError, match=r"Counting is not finite in .* entries"):
        inertia(operator)


REFUSALS = {
    "a tensor": (lambda a: inertia(torch.eye(2)), TypeError, r"inertia\(Tensor\)"),
    "share": (lambda a: inertia(a, negligible=1.0), ValueError, r"negligible=1\.0"),
    "negative share": (lambda a: inertia(a, negligible=-0.1), ValueError, r"negligible=-0\.1"),
    "budget": (lambda a: inertia(a, max_products=0), ValueError, "max_products=0"),
    "confidence": (lambda a: inertia(a, confidence=1.0), ValueError, r"confidence=1\.0"),
}


@pytest.mark.parametrize(("call", "error", "says"), REFUSALS.values(), ids=REFUSALS)
def test_refuses(call, error, says):
    with pytest.raises(error, match=says):
        call(with_spectrum([1.0, 2.0]))
