"""The beta distribution and the intervals for a projector's rank."""

import math

import pytest
import torch

from thalweg.linalg.beta import (
    beta_distribution,
    chance_of_at_least,
    chance_of_at_most,
    first,
    ranks,
)

# Closed forms: a polynomial for whole parameters, the arcsine law, powers.
CLOSED_FORMS = {
    "uniform": (1, 1, lambda x: x),
    "power": (3, 1, lambda x: x**3),
    "power of the rest": (1, 4, lambda x: 1 - (1 - x) ** 4),
    "polynomial": (2, 3, lambda x: 6 * x**2 - 8 * x**3 + 3 * x**4),
    "arcsine": (0.5, 0.5, lambda x: 2 / math.pi * math.asin(math.sqrt(x))),
    "half and one": (0.5, 1, lambda x: math.sqrt(x)),
}


@pytest.mark.parametrize(("a", "b", "law"), CLOSED_FORMS.values(), ids=CLOSED_FORMS)
@pytest.mark.parametrize("x", [1e-6, 0.1, 0.5, 0.77, 1 - 1e-9])
def test_the_distribution_by_closed_forms(a, b, law, x):
    assert beta_distribution(x, a, b) == pytest.approx(law(x), rel=1e-11)


@pytest.mark.parametrize(("a", "b"), [(700, 300), (11, 2000), (40_000, 90_000)])
def test_the_distribution_by_binomial_sums(a, b):
    """For whole a, b: the chance of a or more successes in a + b - 1 trials."""
    trials = a + b - 1
    for x in (0.98 * a / (a + b), a / (a + b), 1.02 * a / (a + b)):
        k = torch.arange(a, trials + 1, dtype=torch.float64)
        whole = torch.tensor(trials + 1.0, dtype=torch.float64)
        logs = torch.lgamma(whole) - torch.lgamma(k + 1) - torch.lgamma(whole - k)
        logs = logs + k * math.log(x) + (trials - k) * math.log1p(-x)
        assert beta_distribution(x, a, b) == pytest.approx(float(logs.exp().sum()), rel=1e-8)


@pytest.mark.parametrize(("n", "k", "vectors"), [(10, 3, 1), (100, 1, 1), (60, 41, 3)])
def test_what_a_projector_keeps_is_distributed_so(n, k, vectors):
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(20_000, vectors, n, generator=generator, dtype=torch.float64).square()
    kept = draws[..., :k].sum((1, 2)) / draws.sum((1, 2))
    for share in (0.5 * k / n, k / n, min(0.95, 1.3 * k / n)):
        chance = chance_of_at_most(share, k, n, vectors)
        assert float((kept <= share).double().mean()) == pytest.approx(chance, abs=0.012)
        rest = chance_of_at_least(share, k, n, vectors)
        assert float((kept >= share).double().mean()) == pytest.approx(rest, abs=0.012)


@pytest.mark.parametrize("k", [0, 1, 7, 80, 160, 199, 200])
@pytest.mark.parametrize("vectors", [1, 4])
def test_the_interval_holds_the_rank_as_often_as_it_says(k, vectors):
    n, failure, held, draws = 200, 0.1, 0, 600
    generator = torch.Generator().manual_seed(k)
    for _ in range(draws):
        squares = torch.randn(vectors, n, generator=generator, dtype=torch.float64).square()
        share = float(squares[:, :k].sum() / squares.sum())
        low, high = ranks(share, share, n, vectors, failure)
        held += low <= k <= high
    assert held / draws >= 1 - failure - 3 * math.sqrt(failure / draws)


def test_the_interval_is_no_wider_than_it_must_be():
    """Against the normal approximation, good in the middle of a thousand."""
    low, high = ranks(0.3, 0.3, 1000, 1, 0.05)
    spread = 1.96 * math.sqrt(2 * 0.3 * 0.7 * 1000)
    assert low == pytest.approx(300 - spread, abs=4)
    assert high == pytest.approx(300 + spread, abs=4)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.0, 1.0, (0, 50)), (0.0, 0.0, (0, 0)), (1.0, 1.0, (50, 50)), (1 - 1e-15, 1.0, (50, 50))],
)
def test_the_interval_at_its_ends(low, high, expected):
    assert ranks(low, high, 50, 1, 0.05) == expected


def test_wider_bounds_on_the_share_give_a_wider_interval():
    sharp, blurred = ranks(0.4, 0.4, 500, 1, 0.05), ranks(0.3, 0.6, 500, 1, 0.05)
    assert blurred[0] < sharp[0] < sharp[1] < blurred[1]


@pytest.mark.parametrize("threshold", [0, 1, 5, 10])
def test_first_finds_the_turn(threshold):
    assert first(lambda k: k >= threshold, 10) == threshold
