"""Traces and Frobenius norms against eigenvalues: unbiased, exact where they say so, covering."""

import math

import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn import functional as F

from thalweg.linalg.deflation import krylov_space, sampled
from thalweg.linalg.frobenius import squared_frobenius_norm
from thalweg.linalg.hutchinson import hutchinson_trace, squared_diagonal
from thalweg.linalg.leave_out import Pairs, jackknife
from thalweg.linalg.student import t_quantile
from thalweg.linalg.trace import trace
from thalweg.linalg.xtrace import applied, leave_out
from thalweg.operators import Hessian, Matrix, Operator


class Diagonal(Operator):
    """diag(values), with its products counted; any method's law depends on the values alone,
    where its test vectors are as likely in one direction as in any other."""

    def __init__(self, values, dtype=torch.float64, knows=False):
        self.values = torch.as_tensor(values, dtype=torch.float64).to(dtype)
        self.name, self.size, self.dtype = "Diagonal", len(self.values), dtype
        self.device = torch.device("cpu")
        self.facts = frozenset({"psd"} if float(self.values.min()) >= 0 else ())
        self.knows, self.count = knows, 0

    def _product(self, vector):
        self.count += 1
        return self.values * vector

    def exact_diagonal(self):
        return self.values if self.knows else None


def line(low, high, n):
    return torch.linspace(low, high, n, dtype=torch.float64)


SPECTRA = {
    "flat": line(1, 3, 120),
    "polynomial": torch.arange(1, 121, dtype=torch.float64) ** -1,
    "exponential": 0.8 ** torch.arange(120, dtype=torch.float64),
    "indefinite": line(-3, 5, 120) ** 3,
    "outliers": torch.cat([torch.tensor([50.0, 20.0, -30.0]), line(-0.1, 0.3, 117)]),
    "step": torch.cat([torch.ones(20), line(0, 0.01, 100)]),
}
METHODS = ["krylov", "hutch++", "xtrace", "xnystrace", "hutchinson"]
every_spectrum = pytest.mark.parametrize("values", SPECTRA.values(), ids=SPECTRA)
every_method = pytest.mark.parametrize("method", METHODS)


def turned(values, seed=1):
    """A dense matrix with these eigenvalues: Rademacher vectors see a diagonal one exactly."""
    generator = torch.Generator().manual_seed(seed)
    n = len(values)
    q = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))[0]
    a = q @ torch.diag(values) @ q.T
    facts = frozenset({"psd"} if float(values.min()) >= 0 else ())
    return Matrix((a + a.T) / 2, facts=facts)


def skip_indefinite(method, values):
    if method == "xnystrace" and float(values.min()) < 0:
        pytest.skip("for positive semidefinite operators")


@every_spectrum
@every_method
def test_is_unbiased_and_covers(method, values):
    """The mean error lies within four standard errors; the share covered is no accident."""
    skip_indefinite(method, values)
    seeds, operator, exact = 60, turned(values), float(values.sum())
    found = [trace(operator, products=36, method=method, seed=seed) for seed in range(seeds)]
    errors = torch.tensor([one.value - exact for one in found], dtype=torch.float64)
    assert abs(float(errors.mean())) <= 4 * float(errors.std()) / math.sqrt(seeds) + 1e-13
    covered = sum(one.lower <= exact <= one.upper for one in found)
    # At 95 % so few are covered once in ten thousand suites.
    assert covered >= stats.binom.ppf(1e-4, seeds, 0.95)
    claimed = torch.tensor([one.standard_error for one in found]).square().mean().sqrt()
    assert float(claimed) >= 0.8 * float(errors.square().mean().sqrt())


@pytest.mark.parametrize("confidence", [0.5, 0.8])
@pytest.mark.parametrize("method", ["krylov", "hutch++", "hutchinson"])
def test_intervals_are_not_much_wider_than_they_need_be(method, confidence):
    values, seeds = SPECTRA["indefinite"], 100
    operator = turned(values)
    found = [
        trace(operator, products=36, method=method, seed=seed, confidence=confidence)
        for seed in range(seeds)
    ]
    covered = sum(one.lower <= float(values.sum()) <= one.upper for one in found) / seeds
    spread = math.sqrt(confidence * (1 - confidence) / seeds)
    assert confidence - 4 * spread <= covered <= confidence + 4 * spread + 0.05


@every_method
def test_takes_the_products_it_says_and_no_more_than_allowed(method):
    operator = Diagonal(SPECTRA["polynomial"])
    for allowed in (6, 7, 30, 47):
        operator.count = 0
        found = trace(operator, products=allowed, method=method)
        assert found.products == operator.count <= allowed
        assert found.method == method


@pytest.mark.parametrize("method", ["krylov", "hutch++", "xtrace", "xnystrace"])
@pytest.mark.parametrize("values", [[3.0] * 8, [5.0, 4.0, 3.0, 2.0, 1.0], [0.0]], ids=str)
def test_is_exact_on_low_rank(method, values):
    values = torch.tensor(values + [0.0] * (150 - len(values)), dtype=torch.float64)
    found = trace(turned(values), products=39, method=method)
    exact = float(values.sum())
    assert abs(found.value - exact) <= 1e-12 * max(exact, 1e-3)
    assert found.lower <= exact <= found.upper
    assert found.half_width <= 1e-10 * max(exact, 1e-3)


def test_exact_by_n_products_or_by_the_operators_own_diagonal():
    values = SPECTRA["indefinite"]
    found = trace(turned(values), products=120)
    assert (found.method, found.products, found.standard_error) == ("exact", 120, 0.0)
    assert found.value == pytest.approx(float(values.sum()), rel=1e-12)
    own = Diagonal(values, knows=True)
    assert trace(own, products=1).value == pytest.approx(float(values.sum()), rel=1e-14)
    assert own.count == 0
    forced = trace(Diagonal(values), products=3, method="exact")
    assert (forced.products, forced.method) == (120, "exact")
    assert trace(turned(values), products=119).method == "krylov"


def test_test_vectors_drawn_without_replacement_reach_the_exact_trace():
    """n products by 'krylov' span the whole space: what is left to chance has vanished."""
    values = SPECTRA["indefinite"]
    found = trace(turned(values), products=120, method="krylov")
    assert found.value == pytest.approx(float(values.sum()), rel=1e-12)
    nearly = trace(turned(values), products=119, method="krylov")
    half = trace(turned(values), products=60, method="krylov")
    assert found.half_width < nearly.half_width / 1e6 < nearly.half_width < half.half_width / 3


def test_the_hessian_of_a_network():
    x, y = torch.randn(60, 8, dtype=torch.float64), torch.randint(0, 4, (60,))
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4)).double()
    hessian = Hessian.of_model(model, F.cross_entropy, (x, y))
    exact = float(hessian.to_dense().trace())
    found = {m: trace(hessian, method=m) for m in ("krylov", "xtrace", "hutchinson")}
    for one in found.values():
        assert one.lower <= exact <= one.upper
    assert found["krylov"].half_width < found["hutchinson"].half_width


@pytest.mark.parametrize("method", METHODS)
def test_single_precision_is_in_the_interval(method):
    values = 0.5 ** torch.arange(300, dtype=torch.float64)
    for seed in range(10):
        found = trace(Diagonal(values, torch.float32), method=method, seed=seed)
        assert found.lower <= 2 <= found.upper


def test_half_precision_products_are_taken():
    found = trace(Diagonal([4.0, *([0.01] * 300)], torch.bfloat16))
    assert found.lower <= 7 <= found.upper
    assert found.half_width < 3


@every_method
def test_the_same_seed_gives_the_same_answer_and_leaves_the_programs_stream_alone(method):
    operator, state = turned(SPECTRA["flat"]), torch.get_rng_state()
    first, again, other = (trace(operator, method=method, seed=s) for s in (3, 3, 4))
    assert first == again
    assert first.value != other.value
    assert torch.equal(torch.get_rng_state(), state)


class TestLeavingColumnsOut:
    """The formulas of pairs against bases that are made again without the columns."""

    def straight(self, a, tests, without, j):
        """tr(Q'A Q) + c w_j'P A P w_j for a basis Q of A's range on the columns kept."""
        n = len(a)
        kept = [i for i in range(tests.shape[1]) if i not in without]
        q = torch.linalg.qr(a @ tests[:, kept])[0]
        w = tests[:, j] - q @ (q.T @ tests[:, j])
        return (q.T @ a @ q).trace() + (n - len(kept)) / (w @ w) * (w @ a @ w)

    def test_xtrace(self):
        operator = turned(SPECTRA["indefinite"])
        a, s = operator.to_dense(), 6
        tests = torch.randn(120, s, dtype=torch.float64)
        images = applied(operator, tests)
        q, r = torch.linalg.qr(images)
        single, double = leave_out(120, tests, images, q, a @ q, q.T @ a @ q, r)
        for j in range(s):
            torch.testing.assert_close(single[j], self.straight(a, tests, {j}, j))
            for i in set(range(s)) - {j}:
                torch.testing.assert_close(double[i, j], self.straight(a, tests, {i, j}, j))

    def test_the_plane_of_two_columns(self):
        r, h = torch.randn(5, 5, dtype=torch.float64).triu(), torch.randn(5, 5).double()
        h = h + h.T
        pairs = Pairs.of(r)
        kept = r[:, [0, 2, 4]]  # without columns 1 and 3
        u = torch.linalg.svd(kept, full_matrices=True)[0][:, 3:]
        forms = pairs.directions.T @ h @ pairs.directions
        torch.testing.assert_close(pairs.trace(forms)[1, 3], (u.T @ h @ u).trace())

    def test_the_jackknife_of_a_mean_is_its_standard_error(self):
        x = torch.randn(12, dtype=torch.float64)
        found = jackknife(x.expand(12, 12))
        assert found == pytest.approx(float(x.std()) / math.sqrt(12))


def test_the_diagonals_squares_are_estimated_without_bias():
    values, count = torch.linspace(-1, 2, 30, dtype=torch.float64), 8
    operator = turned(values)
    a = operator.to_dense()
    estimates = []
    for _ in range(2000):
        z = 2.0 * torch.randint(0, 2, (30, count)).double() - 1
        seen = z * (a @ z)
        estimates.append(squared_diagonal(seen.sum(1), float(seen.square().sum()), count))
    found = torch.tensor(estimates)
    error = float(found.std()) / math.sqrt(len(found))
    assert abs(float(found.mean()) - float(a.diagonal().square().sum())) < 4 * error


@pytest.mark.parametrize("probes", ["rademacher", "gaussian"])
def test_hutchinsons_error_is_that_of_its_formula(probes):
    values = SPECTRA["outliers"]
    operator = turned(values)
    a = operator.to_dense()
    variance = 2 * float(a.square().sum())
    if probes == "rademacher":
        variance -= 2 * float(a.diagonal().square().sum())
    found = [hutchinson_trace(operator, 25, 0.95, seed, probes) for seed in range(150)]
    spread = float(torch.tensor([one.value for one in found], dtype=torch.float64).std())
    assert spread == pytest.approx(math.sqrt(variance / 25), rel=0.25)
    claimed = sum(one.standard_error for one in found) / len(found)
    assert claimed == pytest.approx(math.sqrt(variance / 25), rel=0.25)


def test_the_variances_of_samples_are_estimated_without_bias():
    """Against the moments of a unit vector uniform in n dimensions, where nothing is deflated."""
    values, n = SPECTRA["outliers"], 120
    operator = turned(values)
    found = []
    for seed in range(150):
        generator = torch.Generator().manual_seed(seed)
        samples = sampled(operator, krylov_space(operator, 0, 16, generator), 16, generator)
        found.append((samples.variance, float(samples.crossed.mean())))

    def variance(power):
        """Of n z'A^p z, times n / (n - 1): a sample variance without replacement."""
        sums = [float((values**p).sum()) for p in (power, 2 * power)]
        return 2 * n**2 / ((n + 2) * (n - 1)) * (sums[1] - sums[0] ** 2 / n)

    estimates = torch.tensor(found, dtype=torch.float64)
    errors = estimates.std(0) / math.sqrt(len(found))
    expected = torch.tensor([variance(1), variance(2)], dtype=torch.float64)
    assert bool(((estimates.mean(0) - expected).abs() < 4 * errors).all())
    assert float((errors / expected).max()) < 0.12  # sharp enough to see a factor of a half


@every_spectrum
def test_the_frobenius_norm_is_unbiased_and_covers(values):
    operator, exact, seeds = turned(values), float(values.square().sum()), 60
    found = [squared_frobenius_norm(operator, products=36, seed=seed) for seed in range(seeds)]
    errors = torch.tensor([one.value - exact for one in found], dtype=torch.float64)
    assert abs(float(errors.mean())) <= 4 * float(errors.std()) / math.sqrt(seeds)
    covered = sum(one.lower <= exact <= one.upper for one in found)
    assert covered >= stats.binom.ppf(1e-4, seeds, 0.95)


def test_the_frobenius_norm_is_exact_where_it_says_so():
    values = SPECTRA["indefinite"]
    found = squared_frobenius_norm(turned(values), products=120)
    assert (found.method, found.products, found.standard_error) == ("exact", 120, 0.0)
    assert found.value == pytest.approx(float(values.square().sum()), rel=1e-12)
    low = squared_frobenius_norm(turned(torch.tensor([2.0, -1.0] + [0.0] * 118).double()))
    assert low.lower <= 5 <= low.upper
    assert low.half_width < 1e-10
    assert squared_frobenius_norm(Diagonal([0.0] * 200)).value == 0


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 9, 10, 49, 98, 1000])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_students_quantiles(freedom, confidence):
    expected = stats.t.ppf((1 + confidence) / 2, freedom)
    assert t_quantile(confidence, freedom) == pytest.approx(expected, rel=1e-11)


def test_students_quantile_of_very_many_degrees_is_nearly_the_normal_one():
    assert t_quantile(0.95, 10**9) == pytest.approx(stats.norm.ppf(0.975), rel=2e-4)


REFUSALS = {
    "a tensor": (lambda a: trace(torch.eye(2)), TypeError, r"trace\(Tensor\).*Matrix\(A\)"),
    "method": (lambda a: trace(a, method="hutch"), ValueError, r"method='hutch'.*hutch\+\+"),
    "none": (lambda a: trace(a, products=0), ValueError, "products=0"),
    "few": (lambda a: trace(a, products=5, method="xtrace"), ValueError, "at least 6"),
    "fewer": (lambda a: trace(a, products=1, method="krylov"), ValueError, "at least 2"),
    "confidence": (lambda a: trace(a, confidence=95), ValueError, "confidence=95"),
    "sign": (lambda a: trace(a, method="xnystrace"), ValueError, r"not known.*krylov"),
    "probes": (lambda a: hutchinson_trace(a, 9, 0.9, 0, "sphere"), ValueError, "gaussian"),
    "frobenius": (lambda a: squared_frobenius_norm(a, products=3), ValueError, "at least 4"),
}


@pytest.mark.parametrize(("call", "error", "says"), REFUSALS.values(), ids=REFUSALS)
def test_refuses(call, error, says):
    with pytest.raises(error, match=says):
        call(turned(SPECTRA["indefinite"]))


def test_a_false_claim_of_positive_semidefiniteness_is_found():
    a = torch.diag(torch.tensor([-1.0, 2.0, *([0.5] * 60)], dtype=torch.float64))
    with pytest.raises(ValueError, match="has a negative eigenvalue"):
        trace(Matrix(a, facts=frozenset({"psd"})), products=60, method="xnystrace")


@every_method
def test_a_product_that_is_not_finite_is_named(method):
    values = torch.ones(200, dtype=torch.float64)
    values[3] = math.nan
    operator = Diagonal(values)
    operator.facts = frozenset({"psd"})
    with pytest.raises(FloatingPointError, match="Diagonal @ V is not finite"):
        trace(operator, method=method)
