"""Diagonals against explicit matrices: unbiased, with standard errors that are those measured."""

import math

import pytest
import torch

from thalweg.linalg.diagonal import diagonal
from thalweg.linalg.leave_out import Pairs
from thalweg.linalg.xdiag import leave_pairs_out
from thalweg.operators import Matrix, Operator

METHODS = ["krylov", "xdiag", "hutchinson"]
every_method = pytest.mark.parametrize("method", METHODS)


def line(low, high, n):
    return torch.linspace(low, high, n, dtype=torch.float64)


def turned(values, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    n = len(values)
    q = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))[0]
    a = q @ torch.diag(values) @ q.T
    return Matrix(((a + a.T) / 2).to(dtype))


SPECTRA = {
    "flat": line(1, 3, 80),
    "polynomial": torch.arange(1, 81, dtype=torch.float64) ** -1,
    "exponential": 0.8 ** torch.arange(80, dtype=torch.float64),
    "indefinite": line(-3, 5, 80) ** 3,
}


class Counting(Operator):
    def __init__(self, inner, own=None):
        self.name, self.size, self.dtype = "Counting", inner.size, inner.dtype
        self.device, self.facts = inner.device, inner.facts
        self._inner, self._own, self.count = inner, own, 0

    def _product(self, vector):
        self.count += 1
        return self._inner @ vector

    def exact_diagonal(self):
        return self._own


@every_method
@pytest.mark.parametrize("values", SPECTRA.values(), ids=SPECTRA)
def test_is_unbiased_and_its_errors_are_no_smaller_than_measured(method, values):
    operator, seeds = turned(values), 60
    exact = operator.to_dense().diagonal()
    found = [diagonal(operator, products=30, method=method, seed=seed) for seed in range(seeds)]
    errors = torch.stack([one.values - exact for one in found])
    z = errors.mean(0) / errors.std(0) * math.sqrt(seeds)
    assert float(z.square().mean()) < 1.8  # about 1 where the mean error is 0
    claimed = torch.stack([one.standard_errors for one in found]).square().mean(0)
    measured = errors.square().mean(0)
    assert float(claimed.mean()) >= 0.9 * float(measured.mean())
    most = 50 if method == "xdiag" else 1.1
    assert float(claimed.mean()) <= most * float(measured.mean())


def test_deflation_beats_hutchinson_where_the_spectrum_decays():
    operator = turned(SPECTRA["exponential"])
    exact = operator.to_dense().diagonal()
    size = {
        method: float((diagonal(operator, products=40, method=method).values - exact).norm())
        for method in METHODS
    }
    # What is left beside twenty directions is 0.8^20 = 0.01 of the matrix at best.
    assert max(size["krylov"], size["xdiag"]) < size["hutchinson"] / 5


@every_method
def test_takes_the_products_it_says(method):
    operator = Counting(turned(SPECTRA["flat"]))
    for allowed in (6, 7, 31):
        operator.count = 0
        found = diagonal(operator, products=allowed, method=method)
        assert found.products == operator.count <= allowed
        assert found.method == method


@pytest.mark.parametrize("method", ["krylov", "xdiag"])
def test_is_exact_on_low_rank(method):
    operator = turned(torch.tensor([5.0, -4.0, 3.0, *([0.0] * 77)], dtype=torch.float64))
    found = diagonal(operator, products=24, method=method)
    torch.testing.assert_close(found.values, operator.to_dense().diagonal(), rtol=0, atol=1e-12)
    assert float(found.standard_errors.max()) < 1e-12


def test_hutchinson_is_exact_on_a_diagonal_matrix():
    values = line(-1, 2, 300)
    found = diagonal(Matrix(torch.diag(values)), products=2, method="hutchinson")
    torch.testing.assert_close(found.values, values)
    assert float(found.standard_errors.max()) == 0


def test_exact_by_n_products_or_by_the_operators_own():
    operator = Counting(turned(SPECTRA["flat"]))
    found = diagonal(operator)
    assert (found.method, found.products, operator.count) == ("exact", 80, 80)
    torch.testing.assert_close(found.values, operator.to_dense().diagonal())
    own = Counting(turned(SPECTRA["flat"]), own=line(0, 1, 80))
    assert torch.equal(diagonal(own, products=1).values, line(0, 1, 80))
    assert own.count == 0
    assert diagonal(own, products=40, method="krylov").method == "krylov"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@every_method
def test_lower_precision(method, dtype):
    operator = turned(SPECTRA["exponential"], dtype)
    exact = operator.to_dense().diagonal().double()
    found = diagonal(operator, products=40, method=method)
    assert found.values.dtype == found.standard_errors.dtype == dtype
    allowed = 6 * found.standard_errors.double() + 20 * torch.finfo(dtype).eps
    assert bool(((found.values.double() - exact).abs() <= allowed).all())


def test_xdiag_without_pairs_of_columns_against_bases_made_again():
    operator, s = turned(SPECTRA["indefinite"]), 5
    a = operator.to_dense()
    tests = 2.0 * torch.randint(0, 2, (80, s)).double() - 1
    q, r = torch.linalg.qr(a @ tests)
    pairs = Pairs.of(r)
    p, aq = q @ pairs.directions, a @ q @ pairs.directions
    found = (q * (a @ q)).sum(1)[:, None] + leave_pairs_out(
        tests, p, aq, pairs, pairs.directions.T @ r
    )
    for i in range(s):
        again = []
        for j in set(range(s)) - {i}:
            kept = torch.linalg.qr(a @ tests[:, sorted(set(range(s)) - {i, j})])[0]
            rest = a @ tests[:, j] - kept @ (kept.T @ (a @ tests[:, j]))
            again.append((kept @ kept.T @ a).diagonal() + tests[:, j] * rest)
        torch.testing.assert_close(found[:, i], torch.stack(again).mean(0))


@every_method
def test_the_same_seed_gives_the_same_answer_and_leaves_the_programs_stream_alone(method):
    operator, state = turned(SPECTRA["flat"]), torch.get_rng_state()
    first, again, other = (
        diagonal(operator, products=20, method=method, seed=s) for s in (3, 3, 4)
    )
    assert torch.equal(first.values, again.values)
    assert not torch.equal(first.values, other.values)
    assert torch.equal(torch.get_rng_state(), state)


REFUSALS = {
    "a tensor": (lambda a: diagonal(torch.eye(2)), TypeError, r"diagonal\(Tensor\)"),
    "method": (lambda a: diagonal(a, method="bekas"), ValueError, "method='bekas'.*xdiag"),
    "none": (lambda a: diagonal(a, products=0), ValueError, "products=0"),
    "one": (lambda a: diagonal(a, products=1, method="hutchinson"), ValueError, "at least 2"),
    "three": (lambda a: diagonal(a, products=3), ValueError, "at least 4"),
    "five": (lambda a: diagonal(a, products=5, method="xdiag"), ValueError, "at least 6"),
}


@pytest.mark.parametrize(("call", "error", "says"), REFUSALS.values(), ids=REFUSALS)
def test_refuses(call, error, says):
    with pytest.raises(error, match=says):
        call(turned(SPECTRA["flat"]))
