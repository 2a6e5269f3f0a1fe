"""Densities, counts and traces of functions against the eigenvalues themselves."""

import math
from functools import cache

import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn import functional as F

from thalweg.linalg.krylov import Krylov
from thalweg.linalg.measure import Measure, distance, earlier, spectral_measure
from thalweg.linalg.sharing import single
from thalweg.linalg.spectral_density import spectral_density, trace_of
from thalweg.operators import Hessian, Matrix, Operator


class Diagonal(Operator):
    """diag(values): starts are as likely in one direction as in any other."""

    def __init__(self, values):
        self.values = torch.as_tensor(values, dtype=torch.float64)
        self.name, self.size, self.dtype = "Diagonal", len(self.values), torch.float64
        self.device, self.facts, self.count = torch.device("cpu"), frozenset(), 0

    def _product(self, vector):
        self.count += 1
        return self.values * vector


def line(low, high, n):
    return torch.linspace(low, high, n, dtype=torch.float64)


SPECTRA = {
    "flat": line(1, 3, 300),
    "polynomial": torch.arange(1, 301, dtype=torch.float64) ** -1,
    "indefinite": line(-3, 5, 300) ** 3,
    "outliers": torch.cat([line(-0.1, 0.3, 295), torch.tensor([-4.0, 5, 9, 20, 50]).double()]),
    "two values": torch.cat([torch.full((280,), 0.01), torch.ones(20)]).double(),
    "low rank": torch.cat([torch.zeros(297), torch.tensor([-3.0, 2.0, 7.0])]).double(),
}
every_spectrum = pytest.mark.parametrize("values", SPECTRA.values(), ids=SPECTRA)


def wasserstein(values, found):
    """The integral of the two distribution functions' distance, over the spectrum's length."""
    values = values.sort().values
    low, high = float(values[0]), float(values[-1])
    margin = (high - low) / 10
    points = [line(low - margin, high + margin, 20_000), values, found.nodes_and_weights()[0]]
    grid = torch.cat(points).sort().values
    middle, width = (grid[1:] + grid[:-1]) / 2, grid.diff()
    exact = torch.searchsorted(values, middle, right=True).double() / len(values)
    return float((exact - found.cdf(middle)).abs() @ width) / (high - low)


# Of 100 products: the largest of twenty seeds was under two thirds of these.
NEAR = {
    "flat": 0.03,
    "polynomial": 2e-3,
    "indefinite": 0.04,
    "outliers": 2e-3,
    "two values": 0.02,
    "low rank": 1e-14,
}


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("seed", [0, 1])
def test_is_near_the_spectrum(name, seed):
    operator = Diagonal(SPECTRA[name])
    found = spectral_density(operator, seed=seed)
    assert found.products == operator.count <= 100
    assert wasserstein(SPECTRA[name], found) < NEAR[name]


def test_outliers_are_atoms_of_exact_weight():
    found = spectral_density(Diagonal(SPECTRA["outliers"]))
    exact = torch.tensor([-4.0, 5.0, 9.0, 20.0, 50.0], dtype=torch.float64)
    torch.testing.assert_close(found.atoms[[0, -4, -3, -2, -1]], exact)
    x = torch.tensor([-5.0, -3.9, 3.0, 6.0, 10.0, 30.0, 60.0], dtype=torch.float64)
    expected = torch.tensor([0, 1, 296, 297, 298, 299, 300], dtype=torch.float64) / 300
    torch.testing.assert_close(found.cdf(x), expected)


@every_spectrum
def test_a_distribution_function_rises_from_zero_to_one(values):
    found = spectral_density(Diagonal(values))
    low, high = found.span
    rise = found.cdf(line(2 * low - high, 2 * high - low, 500))
    assert bool((rise.diff() >= -1e-15).all())
    assert float(rise[0]) == 0
    assert float(rise[-1]) == pytest.approx(1, abs=1e-12)
    nodes, weights = found.nodes_and_weights()
    assert float(weights.sum()) == pytest.approx(1, abs=1e-12)
    assert bool((nodes.diff() >= 0).all())


@every_spectrum
def test_the_density_integrates_to_one(values):
    found = spectral_density(Diagonal(values))
    low, high = found.span
    grid = line(low - (high - low), high + (high - low), 4000)
    step = float(grid[1] - grid[0])
    assert float(found.density(grid).sum()) * step == pytest.approx(1, abs=1e-6)
    wide = found.density(grid, width=(high - low) / 10)
    assert float(wide.sum()) * step == pytest.approx(1, abs=1e-6)
    assert float(wide.max()) < float(found.density(grid).max())


def test_with_n_products_it_is_exact():
    values = SPECTRA["indefinite"]
    found = spectral_density(Diagonal(values), products=300)
    torch.testing.assert_close(found.atoms, values.sort().values)
    assert (found.products, found.measures) == (300, ())
    assert found.count(-1e-9, 1e9).value == int((values > 0).sum())
    assert found.trace_of(torch.Tensor.exp).value == pytest.approx(float(values.exp().sum()))
    assert float(found.cdf_standard_error(torch.zeros(2)).max()) == 0


FUNCTIONS = {
    "identity": lambda x: x,
    "square": lambda x: x * x,
    "log": lambda x: (x + 40).log(),
    "exponential": lambda x: (-x / 10).exp(),
}


@cache
def densities(name):
    """Of a spectrum by twelve seeds, for whatever is asked of them."""
    return [spectral_density(Diagonal(SPECTRA[name]), seed=seed) for seed in range(12)]


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_traces_of_functions_are_covered(name, function):
    exact, found = float(function(SPECTRA[name]).sum()), densities(name)
    covered = sum(one.lower <= exact <= one.upper for one in (d.trace_of(function) for d in found))
    # At 95 % so few are covered once in ten thousand suites.
    assert covered >= stats.binom.ppf(1e-4, len(found), 0.95)


def test_a_trace_in_one_call_is_that_of_the_density():
    operator, square = Diagonal(SPECTRA["polynomial"]), FUNCTIONS["square"]
    found = trace_of(operator, square, products=40, probes=2, confidence=0.5, seed=3)
    density = spectral_density(operator, products=40, probes=2, seed=3)
    assert found == density.trace_of(square, confidence=0.5)
    assert len({found.half_width, density.trace_of(square).half_width}) == 2


@pytest.mark.parametrize("name", ["indefinite", "polynomial"])
def test_standard_errors_are_those_measured(name):
    """Of the mean, where the quadrature is exact: only the random vectors err."""
    values, seeds = SPECTRA[name], 50
    found = [
        trace_of(Diagonal(values), lambda x: x * x, products=40, seed=seed) for seed in range(seeds)
    ]
    errors = torch.tensor([one.value for one in found], dtype=torch.float64) - float(
        values.square().sum()
    )
    claimed = torch.tensor([one.standard_error for one in found], dtype=torch.float64)
    ratio = float(claimed.square().mean().sqrt() / errors.square().mean().sqrt())
    assert 0.8 < ratio < 1.6  # the larger of two estimates is taken


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("ends", [(-math.inf, 0.005), (0.005, 2.5), (-1.0, 1.5), (30.0, 60.0)])
def test_counts_are_covered(name, ends):
    values = SPECTRA[name]
    exact = int(((values > ends[0]) & (values <= ends[1])).sum())
    found = [one.count(*ends) for one in densities(name)[:6]]
    covered = sum(one.lower - 1e-9 <= exact <= one.upper + 1e-9 for one in found)
    assert covered >= 5
    assert all(0 <= one.lower <= one.upper <= len(values) for one in found)


SEEDS = 60


@cache
def counts_in_a_gap():
    """Of the 20 ones among 300 eigenvalues; the quadrature is exact, only the vectors err."""
    return [
        spectral_density(Diagonal(SPECTRA["two values"]), products=20, probes=2, seed=seed).count(
            0.5, 2.0
        )
        for seed in range(SEEDS)
    ]


def test_counts_are_covered_by_the_sampling_error_alone():
    covered = sum(one.lower <= 20 <= one.upper for one in counts_in_a_gap())
    assert covered >= stats.binom.ppf(1e-4, SEEDS, 0.95)


def test_a_counts_standard_error_is_that_measured():
    """The root mean square over so many seeds is itself good to a tenth."""
    found = counts_in_a_gap()
    measured = math.sqrt(sum((one.value - 20) ** 2 for one in found) / SEEDS)
    claimed = math.sqrt(sum(one.standard_error**2 for one in found) / SEEDS)
    assert 0.7 < claimed / measured < 1.4


def test_a_count_is_at_least_that_of_the_outliers_found():
    found = spectral_density(Diagonal(SPECTRA["outliers"])).count(3.0, math.inf)
    # Beside them the first vector's quadrature may have a node in the gap, of next to no weight.
    assert found.value == pytest.approx(4, abs=1e-6)
    assert found.lower == pytest.approx(4, abs=1e-6)
    assert 4 < found.upper < 20  # what the last node stands for may lie above it


def test_the_hessian_of_a_network():
    x, y = torch.randn(60, 8, dtype=torch.float64), torch.randint(0, 4, (60,))
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4)).double()
    hessian = Hessian.of_model(model, F.cross_entropy, (x, y))
    exact = torch.linalg.eigvalsh(hessian.to_dense())
    found = spectral_density(hessian)
    assert wasserstein(exact, found) < 0.02
    count = found.count(-math.inf, 0.0)
    assert count.lower <= int((exact <= 0).sum()) <= count.upper


class TestMeasure:
    def test_is_a_gauss_rule(self):
        """Exact on polynomials up to degree 2m - 1, and not beyond."""
        values, start = line(-1, 2, 40), torch.randn(40, dtype=torch.float64)
        measure, products = spectral_measure(Matrix(torch.diag(values)), start, 6)
        share = start.square() / start.square().sum()
        assert products == 6
        for degree in range(12):
            moment = measure.integral(lambda x, d=degree: x**d)
            assert moment == pytest.approx(float(share @ values**degree), abs=1e-12)
        assert measure.integral(lambda x: x**12) < float(share @ values**12) - 1e-9

    def test_closes_where_the_start_lies_in_few_eigenvectors(self):
        start = torch.zeros(40, dtype=torch.float64)
        start[[3, 17, 30]] = torch.tensor([1.0, 2.0, 2.0]).double()
        values = line(0, 39, 40)
        measure, products = spectral_measure(Matrix(torch.diag(values)), start, 20)
        assert (products, measure.closed) == (3, True)
        torch.testing.assert_close(measure.nodes, torch.tensor([3.0, 17.0, 30.0]).double())
        torch.testing.assert_close(measure.weights, torch.tensor([1.0, 4.0, 4.0]).double() / 9)
        assert measure.bounds(17.0) == pytest.approx((5 / 9, 5 / 9))
        assert measure.doubt(torch.exp) == 0

    @pytest.mark.parametrize("steps", [1, 2, 5, 12])
    def test_bounds_hold_everywhere(self, steps):
        values, start = line(-1, 2, 60), torch.randn(60, dtype=torch.float64)
        measure, _ = spectral_measure(Matrix(torch.diag(values)), start, steps)
        share = start.square() / start.square().sum()
        for x in line(-1.2, 2.2, 200).tolist():
            low, high = measure.bounds(x)
            assert low - 1e-12 <= float(share[values <= x].sum()) <= high + 1e-12


def test_the_same_seed_gives_the_same_answer_and_leaves_the_programs_stream_alone():
    operator, state = Diagonal(SPECTRA["flat"]), torch.get_rng_state()
    x = line(0, 4, 9)
    first, again, other = (spectral_density(operator, seed=s).cdf(x) for s in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


REFUSALS = {
    "a tensor": (lambda a: spectral_density(torch.eye(2)), TypeError, r"density\(Tensor\)"),
    "probes": (lambda a: spectral_density(a, probes=0), ValueError, "probes=0"),
    "few": (lambda a: spectral_density(a, products=19), ValueError, "at least 20"),
    "width": (lambda a: spectral_density(a).density(torch.zeros(1), 0.0), ValueError, "width=0"),
    "order": (lambda a: spectral_density(a).count(1, 1), ValueError, "lower end first"),
    "log": (lambda a: trace_of(a, torch.log), ValueError, r"finite.*damping"),
    "shape": (lambda a: trace_of(a, torch.sum), ValueError, "of that shape"),
    "confidence": (lambda a: trace_of(a, torch.exp, confidence=1.0), ValueError, "confidence=1"),
}


@pytest.mark.parametrize(("call", "error", "says"), REFUSALS.values(), ids=REFUSALS)
def test_refuses(call, error, says):
    with pytest.raises(error, match=says):
        call(Diagonal(SPECTRA["outliers"]))


SHARED = {
    # A wide band wants many vectors, heavy tails want one long run; n = 1,200.
    "band": (line(1, 3, 1200), {3, 4}),
    "two bands": (torch.cat([line(-3, -2, 800), line(1, 2, 400)]), {3, 4}),
    "tails": (torch.arange(1, 1201, dtype=torch.float64) ** -1.5, {1}),
}


@pytest.mark.parametrize("name", SHARED)
def test_products_are_shared_by_as_many_vectors_as_the_spectrum_asks_for(name):
    """And are all taken, but for a remainder."""
    values, vectors = SHARED[name]
    operator = Diagonal(values)
    found = spectral_density(operator, products=62)
    assert len(found.measures) in vectors
    assert 62 - len(found.measures) < found.products == operator.count <= 62


@pytest.mark.parametrize("name", ["band", "tails"])
def test_the_chosen_sharing_is_better_than_the_other(name):
    """Than one vector where several are chosen, than four where one is; a mean over seeds."""
    values, vectors = SHARED[name]

    def error(density):
        return sum(wasserstein(values, density(seed)) for seed in range(3))

    def of_four(seed):
        runs = [
            spectral_density(Diagonal(values), products=15, probes=1, seed=4 * seed + i)
            for i in range(4)
        ]
        return Together(runs)

    chosen = error(lambda seed: spectral_density(Diagonal(values), products=60, seed=seed))
    other = (
        error(lambda seed: spectral_density(Diagonal(values), products=60, probes=1, seed=seed))
        if 1 not in vectors
        else error(of_four)
    )
    assert chosen < 0.7 * other


class Together:
    """The mean of several densities."""

    def __init__(self, runs):
        self.runs = runs

    def nodes_and_weights(self):
        parts = [run.nodes_and_weights() for run in self.runs]
        return torch.cat([nodes for nodes, _ in parts]), None

    def cdf(self, x):
        return torch.stack([run.cdf(x) for run in self.runs]).mean(0)


def test_a_measure_less_what_was_found_keeps_the_rest_and_its_doubt():
    """The integral over both parts is the whole's; so is what the last products changed."""
    krylov = Krylov(Diagonal(SPECTRA["outliers"]), seed=0)
    for _ in range(8):
        krylov.grow()
    whole, found = Measure.of(krylov), single(krylov.ritz(), 300)
    assert [round(float(x)) for x in whole.nodes[found]] == [-4, 5, 9, 20, 50]
    rest, share = whole.without(found), 1 - float(whole.weights[found].sum())
    taken = float(whole.weights[found] @ whole.nodes[found].cos())
    assert share * rest.integral(torch.cos) + taken == pytest.approx(whole.integral(torch.cos))
    assert whole.doubt(torch.cos) > 1e-6
    assert share * rest.doubt(torch.cos) == pytest.approx(whole.doubt(torch.cos), rel=1e-6)
    assert float(rest.weights.sum()) == pytest.approx(1)


def test_an_earlier_measure_is_that_of_the_shorter_run():
    krylov, short = (Krylov(Diagonal(SPECTRA["indefinite"]), seed=0) for _ in range(2))
    for _ in range(12):
        krylov.grow()
    for _ in range(5):
        short.grow()
    before, then = earlier(krylov.ritz(), 5), Measure.of(short)
    for one, other in ((before.nodes, then.nodes), (before.weights, then.weights)):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(before.errors, then.errors, rtol=1e-9, atol=1e-9)


def test_the_distance_of_two_measures_is_the_area_between_them():
    def of(nodes, weights):
        nodes, weights = (torch.tensor(x, dtype=torch.float64) for x in (nodes, weights))
        return Measure(nodes, weights, torch.zeros_like(nodes), True, (nodes, weights))

    one, other = of([0.0, 1.0], [0.5, 0.5]), of([0.0, 3.0], [0.25, 0.75])
    # Between 0 and 1 a half against a quarter, then 1 against a quarter.
    assert distance(one, other) == pytest.approx(0.25 + 2 * 0.75)
    assert distance(one, one) == 0
