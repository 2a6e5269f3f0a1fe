"""Condition numbers and gains against the eigenvalues and components themselves."""

import itertools
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.linalg.condition import condition_number
from thalweg.linalg.gain import gain_conditioning
from thalweg.operators import Hessian, Matrix


def line(low, high, n):
    return torch.linspace(low, high, n, dtype=torch.float64)


def directions(n):
    generator = torch.Generator().manual_seed(1)
    return torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))[0]


def turned(values, dtype=torch.float64):
    values = torch.as_tensor(values, dtype=torch.float64)
    q = directions(len(values))
    a = q @ torch.diag(values) @ q.T
    return Matrix(((a + a.T) / 2).to(dtype))


# Eigenvalues, and the condition number over the non-null ones, by hand.
KNOWN = {
    "identity": ([1.0] * 20, 1.0, 20, 20.0),
    "definite": ([1.0, 2.0, 5.0, 10.0], 10.0, 4, 18.0**2 / 130),
    "indefinite": ([-8.0, -0.5, 1.0, 4.0], 16.0, 4, 13.5**2 / 81.25),
    "rank deficient": ([0.0] * 10 + [2.0, 6.0], 3.0, 2, 64 / 40),
    "indefinite, rank deficient": ([-9.0, 3.0] + [0.0] * 5, 3.0, 2, 144 / 90),
    "one": ([-7.0], 1.0, 1, 1.0),
}


@pytest.mark.parametrize("name", KNOWN)
def test_by_hand(name):
    values, number, rank, effective = KNOWN[name]
    found = condition_number(turned(values))
    assert found.exact
    assert found.number == pytest.approx(number, rel=1e-10)
    assert found.at_least <= found.number
    assert found.at_least == pytest.approx(number, rel=1e-10)
    assert found.rank == rank
    assert found.effective_rank == pytest.approx(effective, rel=1e-10)
    assert found.products == len(values)


def test_nothing_has_no_condition():
    found = condition_number(turned([0.0] * 5))
    assert math.isnan(found.number)
    assert (found.rank, found.effective_rank, found.largest) == (0, 0, 0)
    many = condition_number(Matrix(torch.zeros(300, 300, dtype=torch.float64)))
    assert math.isnan(many.number)
    assert (many.rank, many.effective_rank) == (0, 0)


def test_rounding_is_no_curvature():
    """In float32 a zero eigenvalue is of the size of its rounding; so is what is counted as 0."""
    values = [0.0] * 40 + [1.0, 100.0]
    found = condition_number(turned(values, torch.float32))
    assert found.rank == 2
    assert found.number == pytest.approx(100, rel=1e-3)
    assert 1e-6 < found.threshold < 1e-2


def test_the_threshold_is_the_callers():
    values = [1e-6, 1e-3, 1.0, 10.0]
    assert condition_number(turned(values)).number == pytest.approx(1e7)
    found = condition_number(turned(values), threshold=1e-2)
    assert (found.number, found.rank) == (pytest.approx(10), 2)


SPECTRA = {
    "flat": line(1, 3, 400),
    "ill": torch.logspace(-4, 2, 400, dtype=torch.float64),
    "indefinite": line(-3, 5, 400) ** 3,
    "low rank": torch.cat([torch.zeros(394), torch.tensor([-3.0, 0.5, 1, 2, 8, 9])]).double(),
    "network": torch.cat([line(-0.01, 0.02, 390), 2.0 ** line(-4, 3, 10)]),
}


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("products", [40, 100, 300])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_lower_bound_holds(name, products, seed):
    values = SPECTRA[name]
    sizes = values.abs()[values.abs() > 1e-12]
    exact = float(sizes.max() / sizes.min())
    found = condition_number(turned(values), products=products, seed=seed)
    assert not found.exact
    assert found.number == found.at_least
    assert 1 <= found.at_least <= exact * (1 + 1e-9)
    assert found.products <= products
    assert 0 < found.effective_rank <= 400
    assert 0 <= found.rank <= 400 + 1e-6


def test_the_lower_bound_reaches_what_a_run_can_see():
    flat = condition_number(turned(SPECTRA["flat"]), products=100)
    assert flat.at_least == pytest.approx(3, rel=0.02)
    low = condition_number(turned(SPECTRA["low rank"]), products=60)
    assert low.at_least == pytest.approx(18, rel=1e-6)
    assert low.rank == pytest.approx(6, abs=1e-6)
    effective = 23.5**2 / (9 + 0.25 + 1 + 4 + 64 + 81)
    assert low.effective_rank == pytest.approx(effective, rel=1e-6)


def components(values, shares):
    """A matrix of these eigenvalues and the gradient with these components."""
    return turned(values), directions(len(values)) @ torch.as_tensor(shares, dtype=torch.float64)


def test_the_gain_by_hand():
    a = Matrix(torch.diag(torch.tensor([0.5, 2.0, -4.0, 100.0, 0.0]).double()))
    found = gain_conditioning(a, torch.tensor([1.0, 2.0, 4.0, 0.0, 0.0]).double())
    torch.testing.assert_close(found.curvatures, torch.tensor([-4.0, 0.5, 2.0]).double())
    torch.testing.assert_close(found.gains, torch.tensor([2.0, 1.0, 1.0]).double())
    assert found.total == pytest.approx(4)
    # The gain's typical curvature is (2 * 4 + 1 * 0.5 + 1 * 2) / 4.
    assert found.largest == pytest.approx(4)
    assert found.number == pytest.approx(4 / (10.5 / 4))
    assert found.share_beyond(1) == pytest.approx(0.5)
    assert found.share_beyond(7) == pytest.approx(0.25)
    assert found.share_beyond(9) == 0
    assert (found.products, found.error, found.unresolved) == (3, 0, 0)
    assert found.unbounded == 0


def test_flat_directions_without_gain_do_not_count():
    values = torch.logspace(-4, 0, 30, dtype=torch.float64)
    steep, flat = torch.zeros(30), torch.zeros(30)
    steep[[28, 29]], flat[[0, 29]] = 1.0, torch.tensor([0.1, 1.0])
    condition = condition_number(turned(values)).number
    good, bad = (gain_conditioning(*components(values, g)) for g in (steep, flat))
    assert condition == pytest.approx(1e4)
    assert good.number < 2
    assert good.share_beyond(100) == 0
    # 0.01 / (2e-4) = 50 of a total of 50.5 lie at curvature 1e-4.
    assert bad.share_beyond(1e3) == pytest.approx(50 / 50.5)
    assert bad.number == pytest.approx(50.5 / (50 * 1e-4 + 0.5))


def test_a_gradient_in_the_null_space_has_no_second_order_bound():
    a, g = components([0.0, 0.0, 3.0], [2.0, 0.0, 1.0])
    found = gain_conditioning(a, g)
    assert found.unbounded == pytest.approx(0.8)
    assert found.total == pytest.approx(1 / 6)
    alone = gain_conditioning(*components([0.0, 0.0, 3.0], [1.0, 1.0, 0.0]))
    assert alone.unbounded == pytest.approx(1)
    assert math.isnan(alone.number)
    assert alone.share_beyond(10) == 0


def test_on_a_definite_operator_the_total_grows_to_newtons_decrement():
    values = torch.logspace(-2, 0, 200, dtype=torch.float64)
    a, g = components(values, torch.randn(200))
    exact = float(g @ torch.linalg.solve(a.to_dense(), g)) / 2
    totals = [gain_conditioning(a, g, products=m) for m in (2, 5, 10, 20, 40, 80)]
    for early, late in itertools.pairwise(totals):
        assert early.total < late.total < exact * (1 + 1e-9)
        assert early.error > late.error
    assert totals[-1].total == pytest.approx(exact, rel=1e-6)
    assert totals[-1].error < 1e-3


def test_unresolved_is_what_may_be_null():
    a, g = components(line(-1, 1, 200), torch.randn(200))
    early, full = (gain_conditioning(a, g, products=m) for m in (15, 200))
    assert early.unresolved > 0
    assert full.unresolved == 0


def test_a_network():
    x, y = torch.randn(60, 5, dtype=torch.float64), torch.randint(0, 3, (60,))
    model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    hessian = Hessian.of_model(model, F.cross_entropy, (x, y))
    values, vectors = torch.linalg.eigh(hessian.to_dense())
    found = gain_conditioning(hessian, hessian.gradient, threshold=1e-3)
    kept = values.abs() > 1e-3
    gains = (vectors.T @ hessian.gradient).square() / (2 * values.abs())
    assert found.total == pytest.approx(float(gains[kept].sum()), rel=1e-6)
    number = float(values.abs().max()) * float(gains[kept].sum())
    number /= float(gains[kept] @ values[kept].abs())
    assert found.number == pytest.approx(number, rel=1e-6)
    sizes = values.abs()[kept]
    condition = condition_number(hessian, threshold=1e-3)
    assert condition.number == pytest.approx(float(sizes.max() / sizes.min()))
    assert condition.rank == int(kept.sum())


REFUSALS = {
    "a tensor": (lambda a: condition_number(torch.eye(2)), TypeError, r"number\(Tensor\)"),
    "threshold": (lambda a: condition_number(a, threshold=-1.0), ValueError, "threshold=-1"),
    "few": (lambda a: condition_number(a, products=39), ValueError, "at least 40"),
    "gain of a tensor": (
        lambda a: gain_conditioning(torch.eye(2), torch.ones(2)),
        TypeError,
        r"conditioning\(Tensor\)",
    ),
    "gain's threshold": (
        lambda a: gain_conditioning(a, torch.ones(4).double(), threshold=math.inf),
        ValueError,
        "threshold=inf",
    ),
    "no product": (
        lambda a: gain_conditioning(a, torch.ones(4).double(), products=0),
        ValueError,
        "products=0",
    ),
    "zero gradient": (
        lambda a: gain_conditioning(a, torch.zeros(4).double()),
        ValueError,
        "not zero",
    ),
    "shape": (lambda a: gain_conditioning(a, torch.ones(3).double()), ValueError, r"\(3,\)"),
    "below 1": (
        lambda a: gain_conditioning(a, torch.ones(4).double()).share_beyond(0.5),
        ValueError,
        "at least 1",
    ),
}


@pytest.mark.parametrize(("call", "error", "says"), REFUSALS.values(), ids=REFUSALS)
def test_refuses(call, error, says):
    with pytest.raises(error, match=says):
        call(turned([1.0, 2.0, 3.0, 4.0]))
