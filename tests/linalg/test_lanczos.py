"""Lanczos against torch.linalg.eigvalsh: spectra of every awkward shape, and what it claims."""

import math

import pytest
import torch
from spectra import SPECTRA, Counting, line, truth, with_spectrum
from torch import nn
from torch.nn import functional as F

from thalweg.linalg import Eigenpair, Extremes, lanczos
from thalweg.linalg.extremes import overshoot
from thalweg.linalg.krylov import Krylov
from thalweg.operators import Hessian, Matrix, Operator

every_spectrum = pytest.mark.parametrize("values", SPECTRA.values(), ids=SPECTRA.keys())


@every_spectrum
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("tol", [1e-1, 1e-3, 1e-9])
def test_finds_both_ends_within_its_tolerance(values, seed, tol):
    operator = with_spectrum(values)
    exact, found = truth(operator), lanczos(operator, tol=tol, seed=seed)
    size = float(exact.abs().max())
    assert found.converged
    # A residual vouches for some eigenvalue nearby; where they are dense, the end is a bit further.
    slack = 3 * tol * size
    assert float(exact[-1]) - slack <= found.largest.value <= float(exact[-1]) + 1e-14 * size
    assert float(exact[0]) - 1e-14 * size <= found.smallest.value <= float(exact[0]) + slack
    assert found.products <= operator.size


@every_spectrum
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("steps", [1, 3, 10, 40])
def test_errors_are_bounds_however_early_it_stops(values, dtype, steps):
    if dtype == torch.float32 and max(map(abs, values)) > 1e38:
        pytest.skip("beyond float32's range")
    operator = with_spectrum(values, dtype=dtype)
    exact, found = truth(operator), lanczos(operator, tol=1e-12, max_products=steps)
    assert found.products <= min(steps, operator.size)
    for pair in (found.largest, found.smallest):
        slack = 1e-14 * float(exact.abs().max())
        assert float((exact - pair.value).abs().min()) <= pair.error + slack
        residual = operator.to_dense().double() @ pair.vector.double()
        residual = residual - pair.value * pair.vector.double()
        assert float(residual.norm()) <= pair.error * (1 + 1e-6)
        assert float(pair.vector.double().norm()) == pytest.approx(1, abs=1e-6)
    rounding = 1e-14 * float(exact.abs().max())  # the reference's own
    assert found.largest.value - found.largest.error <= exact[-1] + rounding
    assert found.smallest.value + found.smallest.error >= exact[0] - rounding
    assert found.upper >= exact[-1] - rounding
    assert found.lower <= exact[0] + rounding


@every_spectrum
def test_a_certificate_is_never_wrong(values):
    operator = with_spectrum(values)
    exact = truth(operator)
    zero = 1e-12 * float(exact.abs().max())
    for steps in range(1, operator.size + 1, 7):
        found = lanczos(operator, tol=1e-12, max_products=steps)
        assert found.sign == "negative" or not found.negative_curvature
        assert found.sign != "negative" or exact[0] < 0
        assert found.sign != "positive" or exact[0] > 0
        assert found.sign != "none" or exact[0] >= -1e-6 * float(exact.abs().max())
    found = lanczos(operator, tol=1e-12, max_products=operator.size)
    assert (found.sign == "negative") == bool(exact[0] < -zero)
    assert found.sign != "not proven" or found.lower < 0


def test_certificates_by_example():
    assert lanczos(with_spectrum([1.0, 2.0, 3.0])).sign == "positive"
    assert lanczos(with_spectrum([-1e-3, 2.0, 3.0])).sign == "negative"
    assert lanczos(with_spectrum(SPECTRA["rank two"][:-1])).sign == "none"
    early = {"tol": 1e-12, "max_products": 3}
    assert lanczos(with_spectrum(line(1e-6, 1, 200)), **early).sign == "not proven"
    known = with_spectrum(line(1e-6, 1, 200), facts=frozenset({"psd"}))
    assert lanczos(known, **early).sign == "none"


@pytest.mark.parametrize(
    ("value", "error", "rounding", "certified", "sign"),
    [
        (-1.0, 1.0, 0.5, False, "negative"),
        (-1.0, 0.999, 0.5, True, "negative"),
        (-1.0, 2.0, 1.0, False, "not proven"),
        (1.0, 0.5, 0.1, False, "not proven"),
    ],
)
def test_a_negative_value_proves_a_negative_eigenvalue_and_its_error_where(
    value, error, rounding, certified, sign
):
    pair = Eigenpair(value, error, torch.ones(1), error)
    known = {"products": 1, "converged": True, "upper": math.inf, "lower": -math.inf}
    spent = {"held": 1, "restarts": 0, "memory": 8}
    found = Extremes((pair,), (pair,), rounding=rounding, psd=False, **known, **spent)
    assert (found.negative_curvature, found.sign) == (certified, sign)


class TestGhosts:
    """Without reorthogonalization, ten values on 150 steps are copies of the first few."""

    def spectrum(self):
        generator = torch.Generator().manual_seed(5)
        bulk = 0.01 * torch.randn(390, generator=generator, dtype=torch.float64)
        return torch.cat([bulk, 2.0 ** torch.arange(-5, 5, dtype=torch.float64)])

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
    def test_ten_values_on_150_steps_are_the_ten_largest(self, dtype):
        operator = with_spectrum(self.spectrum(), dtype=dtype)
        found = lanczos(operator, k=10, tol=1e-13, max_products=150)
        top = torch.tensor([pair.value for pair in found.top], dtype=torch.float64)
        rtol = 1e-12 if dtype == torch.float64 else 1e-5
        torch.testing.assert_close(top, truth(operator).flip(0)[:10], rtol=rtol, atol=rtol)

    def test_vectors_are_orthogonal(self):
        found = lanczos(with_spectrum(self.spectrum()), k=10, tol=1e-8)
        v = torch.stack([pair.vector for pair in (*found.top, *found.bottom)])
        torch.testing.assert_close(v @ v.T, torch.eye(20, dtype=torch.float64))

    def test_the_basis_stays_orthogonal_to_rounding(self):
        krylov = Krylov(with_spectrum(self.spectrum()), seed=0)
        for _ in range(150):
            krylov.grow()
        v = krylov._basis.to_dense()
        assert float((v @ v.T - torch.eye(150, dtype=v.dtype)).abs().max()) < 1e-14


@pytest.mark.parametrize("k", [1, 2, 5, 40])
@pytest.mark.parametrize(
    "name",
    ["degenerate", "identity", "quadruplets", "zero", "two", "even", "rank two", "indefinite"],
)
def test_several_values_repeated_ones_included(name, k):
    operator = with_spectrum(SPECTRA[name])
    exact, found = truth(operator), lanczos(operator, k=k, tol=1e-10)
    wanted = min(k, operator.size)
    top = torch.tensor([pair.value for pair in found.top], dtype=torch.float64)
    bottom = torch.tensor([pair.value for pair in found.bottom], dtype=torch.float64)
    size = float(exact.abs().max())
    torch.testing.assert_close(top, exact.flip(0)[:wanted], rtol=0, atol=1e-9 * size)
    torch.testing.assert_close(bottom, exact[:wanted], rtol=0, atol=1e-9 * size)
    assert found.converged


def test_stops_as_soon_as_it_knows():
    assert lanczos(with_spectrum([0.0] * 500)).products == 1
    assert lanczos(with_spectrum(SPECTRA["degenerate"])).products <= 10
    assert lanczos(with_spectrum(SPECTRA["rank two"]), tol=1e-9).products <= 7
    loose, tight = (lanczos(with_spectrum(line(-1, 1, 300)), tol=tol) for tol in (1e-1, 1e-6))
    assert loose.products < tight.products < 300


def test_stops_at_its_budget_and_says_so():
    found = lanczos(with_spectrum(line(-1, 1, 300)), tol=1e-9, max_products=12)
    assert (found.products, found.converged) == (12, False)
    assert found.upper > found.largest.value


def test_products_are_counted_one_by_one():
    operator = Counting(with_spectrum(line(-1, 1, 50)))
    assert lanczos(operator, tol=1e-6).products == operator.count > 0


def test_the_same_seed_gives_the_same_answer_and_leaves_the_programs_stream_alone():
    operator, state = with_spectrum(line(-1, 1, 50)), torch.get_rng_state()
    first, again, other = (lanczos(operator, max_products=5, seed=s) for s in (3, 3, 4))
    assert first.largest.value == again.largest.value != other.largest.value
    assert torch.equal(first.largest.vector, again.largest.vector)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_largest_of_a_network_agrees_in_either_precision():
    x, y = torch.randn(40, 6, dtype=torch.float64), torch.randint(0, 3, (40,))
    model = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 3)).double()
    exact = truth(Hessian.of_model(model, F.cross_entropy, (x, y)))
    found = lanczos(Hessian.of_model(model.float(), F.cross_entropy, (x.float(), y)), tol=1e-4)
    for pair, expected in ((found.largest, exact[-1]), (found.smallest, exact[0])):
        assert abs(pair.value - float(expected)) <= pair.error
        assert pair.error <= 1e-4 * float(exact.abs().max())
    assert found.negative_curvature


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_product_that_is_not_finite_is_named(value):
    def spoil(product, count):
        return torch.where(torch.arange(50) < 3, value, product) if count == 4 else product

    operator = Counting(with_spectrum(line(-1, 1, 50)), spoil)
    with pytest.raises(FloatingPointError, match=r"Counting @ v .* 3 of 50 entries at product 4"):
        lanczos(operator)


@pytest.mark.parametrize("noise", [1e-6, 1e-3, 0.3])
def test_a_noisy_operator_gets_honest_errors(noise):
    inner = with_spectrum(line(-1, 1, 50))
    operator = Counting(inner, lambda w, _: w + noise * torch.randn_like(w) / math.sqrt(50))
    found = lanczos(operator, tol=1e-12, max_products=50)
    exact = truth(inner)
    assert found.rounding >= noise
    assert found.largest.error >= float((exact - found.largest.value).abs().min())
    assert found.converged is False
    assert found.products < 50


def test_half_precision_products_are_taken():
    found = lanczos(with_spectrum([*line(-1, 1, 60), 8.0], dtype=torch.bfloat16))
    assert found.largest.value == pytest.approx(8, rel=0.03)
    assert found.largest.vector.dtype == torch.bfloat16


class TestOuterBounds:
    def test_hold_for_the_worst_start_among_many(self):
        """At one in a million, some hundreds of starts should never see them fail."""
        operator = with_spectrum([*line(-1, 1, 60), 1.05, -1.3])
        exact = truth(operator)
        for seed in range(300):
            found = lanczos(operator, tol=1e-12, max_products=12, seed=seed)
            assert found.lower <= exact[0]
            assert found.upper >= exact[-1]

    @pytest.mark.parametrize("products", [1, 2, 5])
    def test_fail_as_seldom_as_they_are_asked_to_and_not_much_seldomer(self, products):
        """A lone outlier, far above the rest: whether it is missed is a matter of the start."""
        values = torch.tensor([*line(-1e-3, 1e-3, 40), 1.0], dtype=torch.float64)
        failure, missed, starts = 0.2, 0, 400
        for seed in range(starts):
            krylov = Krylov(Matrix(torch.diag(values)), seed=seed)
            for _ in range(products):
                krylov.grow()
            ritz, betas = krylov.first_block()
            missed += float(ritz[-1]) + overshoot(ritz[-1] - ritz, betas, 41, failure) < 1
        assert missed <= (failure + 3 * math.sqrt(failure / starts)) * starts
        if products == 1:
            assert missed > 0.1 * starts

    def test_close_in_on_the_ends(self):
        operator = with_spectrum(SPECTRA["like a network"])
        early, late = (lanczos(operator, tol=1e-12, max_products=m) for m in (8, 40))
        assert early.upper - 0.62 > late.upper - 0.62 > 0
        assert late.upper - 0.62 < 1e-9
        assert late.lower > -0.021

    def test_an_end_hidden_by_rounding_is_not_ruled_out(self):
        """Nearly the identity: the start holds too little of the outlier for float32 to see it."""
        values = torch.ones(4000)
        values[7] = 1.0002

        class Diagonal(Operator):
            name, size, dtype, device = "Diagonal", 4000, torch.float32, torch.device("cpu")
            facts = frozenset()

            def _product(self, vector):
                return values * vector

        found = lanczos(Diagonal())
        assert found.largest.value < 1.0001
        assert found.upper > 1.0002

    def test_know_a_closure_only_to_rounding(self):
        found = lanczos(Matrix(torch.eye(20, dtype=torch.float64)))
        assert 1e-12 < found.upper - 1 < 1e-6
        assert 1e-12 < 1 - found.lower < 1e-6

    def test_rest_on_the_first_random_start_alone(self):
        krylov = Krylov(with_spectrum(SPECTRA["quadruplets"]), seed=0)
        for _ in range(12):
            krylov.grow()
        values, betas = krylov.first_block()
        torch.testing.assert_close(values, torch.arange(1, 6, dtype=torch.float64))
        assert len(betas) == krylov.closures[0] == 5

    def test_are_exact_without_curvature(self):
        found = lanczos(with_spectrum([0.0] * 12))
        assert found.lower == found.upper == 0


REFUSALS = {
    "a tensor": (lambda a: lanczos(torch.eye(2)), TypeError, r"Tensor.*Matrix\(A\)"),
    "k": (lambda a: lanczos(a, k=0), ValueError, "k=0"),
    "tol": (lambda a: lanczos(a, tol=0.0), ValueError, r"tol=0\.0"),
    "tol above": (lambda a: lanczos(a, tol=1.0), ValueError, r"tol=1\.0"),
    "budget": (lambda a: lanczos(a, k=3, max_products=2), ValueError, "max_products=2, k=3"),
}


@pytest.mark.parametrize(("call", "error", "says"), REFUSALS.values(), ids=REFUSALS)
def test_refuses(call, error, says):
    with pytest.raises(error, match=says):
        call(with_spectrum([1.0, 2.0]))


def test_a_complete_space_cannot_grow():
    krylov = Krylov(with_spectrum([1.0, 2.0]), seed=0)
    krylov.grow()
    krylov.grow()
    with pytest.raises(ValueError, match=r"already is all of R\^2"):
        krylov.grow()
