"""Negative curvature: a certificate as soon as there is one, and no word without proof."""

import pytest
import torch
from spectra import SPECTRA, Counting, line, truth, with_spectrum

from thalweg.linalg import lanczos, negative_curvature
from thalweg.operators import Matrix

every_spectrum = pytest.mark.parametrize("values", SPECTRA.values(), ids=SPECTRA.keys())


@every_spectrum
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_sign_is_right(values, dtype, seed):
    if dtype == torch.float32 and max(map(abs, values)) > 1e38:
        pytest.skip("beyond float32's range")
    operator = with_spectrum(values, dtype=dtype)
    exact, found = truth(operator), negative_curvature(operator, seed=seed)
    size = float(exact.abs().max())
    if found.sign == "negative":
        assert exact[0] < 0
    elif found.sign == "positive":
        assert exact[0] > 0
    else:
        assert exact[0] >= -1e-6 * size - found.rounding
    assert (found.sign == "negative") == (min(values) < 0)


@pytest.mark.parametrize("name", [name for name, v in SPECTRA.items() if min(v) < 0])
def test_the_direction_is_one_of_negative_curvature(name):
    operator = with_spectrum(SPECTRA[name])
    found = negative_curvature(operator)
    v = found.smallest.vector
    curvature = float(v @ (operator.to_dense() @ v))
    assert found.negative_curvature
    assert curvature < 0
    assert curvature == pytest.approx(found.smallest.value, rel=1e-9)
    assert float((truth(operator) - found.smallest.value).abs().min()) <= found.smallest.error
    assert found.smallest.value + found.smallest.error < 0


def test_it_stops_long_before_the_value_is_known():
    operator = Counting(with_spectrum(line(-0.01, 1, 300)))
    found = negative_curvature(operator)
    assert found.products == operator.count
    asked = {"ends": "smallest", "tol": 1e-4, "relative_to": "each"}
    assert found.products < lanczos(operator, **asked).products / 2
    before = lanczos(operator, tol=1e-12, max_products=found.products - 1)
    assert not before.negative_curvature


def test_none_is_said_by_the_chance_of_the_start():
    operator = with_spectrum([*line(0, 1, 200)])
    found = negative_curvature(operator)
    assert found.sign == "none"
    assert found.converged
    assert -1e-6 <= found.lower <= float(truth(operator)[0])


def test_a_declared_fact_needs_one_product():
    operator = with_spectrum(line(0, 1, 200), facts=frozenset({"psd"}))
    found = negative_curvature(operator)
    assert (found.sign, found.products) == ("none", 1)


def test_positive_definite_is_told_from_none():
    assert negative_curvature(with_spectrum(line(0.5, 1, 200))).sign == "positive"


def test_an_eigenvalue_hidden_by_a_short_budget_is_not_proven():
    values = torch.ones(600, dtype=torch.float64)
    values[0] = -1e-5
    values[1:300] = torch.linspace(1e-6, 1, 299, dtype=torch.float64)
    found = negative_curvature(Matrix(torch.diag(values)), max_products=8)
    assert (found.sign, found.converged, found.products) == ("not proven", False, 8)
    assert found.lower < -1e-5


def test_within_a_memory():
    operator = with_spectrum(line(-0.01, 1, 300))
    memory = 14 * operator.size * 8
    found = negative_curvature(operator, memory=memory)
    assert found.negative_curvature
    assert found.memory <= memory
    assert found.restarts > 0


def test_the_bound_covers_for_every_start():
    """The certificate is never given without a negative eigenvalue, nor 'none' with one."""
    wrong = 0
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        draw = torch.randn(40, generator=generator, dtype=torch.float64)
        operator = with_spectrum(draw + 2.2, seed=seed)
        found, exact = negative_curvature(operator, seed=seed), truth(operator)
        wrong += (found.sign == "negative") != bool(exact[0] < 0)
        assert found.lower <= exact[0]
    assert wrong == 0


REFUSALS = {
    "a tensor": (lambda a: negative_curvature(torch.eye(2)), TypeError, r"Tensor.*Matrix\(A\)"),
    "budget": (lambda a: negative_curvature(a, max_products=0), ValueError, "max_products=0"),
}


@pytest.mark.parametrize(("call", "error", "says"), REFUSALS.values(), ids=REFUSALS)
def test_refuses(call, error, says):
    with pytest.raises(error, match=says):
        call(with_spectrum([1.0, 2.0]))
