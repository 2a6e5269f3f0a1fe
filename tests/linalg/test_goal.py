"""What is asked of Lanczos: one end or both, errors of which size, proved or likely."""

import math

import pytest
import torch
from spectra import SPECTRA, Counting, line, truth, with_spectrum
from torch import nn
from torch.nn import functional as F

from thalweg.linalg import lanczos
from thalweg.linalg.goal import likely_errors
from thalweg.linalg.krylov import Krylov
from thalweg.operators import Hessian, Matrix

# A few large eigenvalues, a dense bulk around zero, and a short tail below it.
NETWORK = [*line(-1e-3, 1e-3, 300), -0.02, -0.012, -0.007, 0.05, 0.1, 0.2, 0.62]


def values(pairs):
    return torch.tensor([pair.value for pair in pairs], dtype=torch.float64)


class TestEnds:
    @pytest.mark.parametrize("name", ["indefinite", "like a network", "degenerate", "even"])
    @pytest.mark.parametrize("k", [1, 3])
    def test_each_end_by_itself_is_what_both_give(self, name, k):
        operator = with_spectrum(SPECTRA[name])
        exact, size = truth(operator), max(map(abs, SPECTRA[name]))
        top = lanczos(operator, k=k, ends="largest", tol=1e-9)
        bottom = lanczos(operator, k=k, ends="smallest", tol=1e-9)
        assert (len(top.top), len(top.bottom)) == (k, 1)
        assert (len(bottom.top), len(bottom.bottom)) == (1, k)
        near = {"rtol": 0, "atol": 1e-8 * size}
        torch.testing.assert_close(values(top.top), exact.flip(0)[:k], **near)
        torch.testing.assert_close(values(bottom.bottom), exact[:k], **near)
        assert top.converged
        assert bottom.converged

    def test_one_end_does_not_wait_for_the_other(self):
        operator = with_spectrum(NETWORK)
        tight = {"tol": 1e-4, "relative_to": "each"}
        top, both = (lanczos(operator, ends=ends, **tight) for ends in ("largest", "both"))
        assert top.products < both.products
        assert both.products == lanczos(operator, ends="smallest", **tight).products

    @pytest.mark.parametrize("ends", ["largest", "smallest"])
    def test_the_other_end_is_what_was_seen_and_no_more(self, ends):
        operator = with_spectrum(NETWORK)
        exact, found = truth(operator), lanczos(operator, ends=ends, tol=1e-6)
        assert exact[0] <= found.smallest.value
        assert found.largest.value <= exact[-1] + 1e-14
        assert found.lower <= exact[0]
        assert found.upper >= exact[-1]


class TestTolerance:
    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_of_each_eigenvalue_holds_for_the_small_ones(self, seed):
        operator = with_spectrum(NETWORK)
        exact = truth(operator)
        found = lanczos(operator, k=3, tol=1e-4, relative_to="each", seed=seed)
        near = {"rtol": 1e-4, "atol": 0}
        torch.testing.assert_close(values(found.top), exact.flip(0)[:3], **near)
        torch.testing.assert_close(values(found.bottom), exact[:3], **near)
        assert all(p.error <= 1e-4 * abs(p.value) for p in (*found.top, *found.bottom))

    def test_of_the_largest_is_looser(self):
        operator = with_spectrum(NETWORK)
        counts = [
            lanczos(operator, tol=1e-3, relative_to=to).products for to in ("largest", "each")
        ]
        assert counts[0] < counts[1]

    def test_an_eigenvalue_of_zero_is_found_to_rounding_and_not_called_converged(self):
        found = lanczos(with_spectrum([0.0] * 60 + [7.0, 4.0]), tol=1e-3, relative_to="each")
        assert abs(found.smallest.value) <= found.smallest.error < 1e-12
        assert found.products <= 10
        assert not found.converged


class TestLikelyErrors:
    @pytest.mark.parametrize("products", [15, 20, 30, 40])
    def test_are_temples_for_a_value_that_stands_alone(self, products):
        """Of eigenvalues apart, the likely error covers; the proved one is far larger."""
        operator = with_spectrum(NETWORK)
        exact = truth(operator)
        krylov = Krylov(operator, seed=0)
        for _ in range(products):
            krylov.grow()
        ritz = krylov.ritz()
        likely = likely_errors(ritz)
        for i in (-1, -2, -3):
            true = float((exact[i] - ritz.values[i]).abs())
            assert true <= likely[i] + 1e-15
            assert likely[i] <= ritz.errors[i]
        assert likely[-1] < 1e-2 * ritz.errors[-1] or ritz.errors[-1] < 1e-12

    def test_by_hand(self):
        """Two by two: theta = 3/2 +- sqrt(5)/2, residual c |s_2|, gap sqrt(5) less the other's."""
        krylov = Krylov(
            Matrix(torch.tensor([[1.0, 1.0, 0.0], [1.0, 2.0, 0.1], [0.0, 0.1, 0.0]]).double()),
            seed=0,
            start=torch.tensor([1.0, 0.0, 0.0]).double(),
        )
        krylov.grow()
        krylov.grow()
        golden = (1 + math.sqrt(5)) / 2
        high = 0.1 * golden / math.hypot(1, golden)
        low = 0.1 / math.hypot(1, golden)
        ritz = krylov.ritz()
        expected = torch.tensor([low**2 / (math.sqrt(5) - high), high**2 / (math.sqrt(5) - low)])
        torch.testing.assert_close(ritz.residuals, torch.tensor([low, high]).double())
        torch.testing.assert_close(likely_errors(ritz), expected.double(), rtol=1e-6, atol=1e-15)

    def test_a_lone_value_has_no_neighbour_to_be_apart_from(self):
        krylov = Krylov(with_spectrum(line(-1, 1, 30)), seed=0)
        krylov.grow()
        ritz = krylov.ritz()
        assert torch.equal(likely_errors(ritz), ritz.errors)

    def test_a_pair_nearer_than_its_residual_is_why_they_are_not_proved(self):
        """Seen as one between the two: its residual says so, Temple's bound does not."""
        operator = with_spectrum([*line(-0.5, 0.5, 100), 1.0, 1.0 - 1e-4])
        exact, asked = truth(operator), {"tol": 1e-6, "ends": "largest"}
        likely = lanczos(operator, accept="likely", **asked)
        proved = lanczos(operator, accept="proved", **asked)
        assert likely.products < proved.products
        assert float((exact - likely.largest.value).abs().min()) > likely.largest.likely_error
        assert float((exact - likely.largest.value).abs().min()) <= likely.largest.error
        assert float(exact[-1]) - proved.largest.value <= 1e-6

    @pytest.mark.parametrize("seed", range(5))
    @pytest.mark.parametrize("ends", ["largest", "smallest", "both"])
    def test_stop_a_run_earlier_and_in_time(self, seed, ends):
        operator = with_spectrum(NETWORK)
        exact = truth(operator)
        asked = {"k": 3, "ends": ends, "tol": 1e-5, "relative_to": "each", "seed": seed}
        likely, proved = (lanczos(operator, accept=a, **asked) for a in ("likely", "proved"))
        assert likely.products < proved.products
        assert likely.converged
        found, true = {
            "largest": (likely.top, exact.flip(0)[:3]),
            "smallest": (likely.bottom, exact[:3]),
            "both": ((*likely.bottom, *likely.top), torch.cat([exact[:3], exact.flip(0)[:3]])),
        }[ends]
        torch.testing.assert_close(values(found), true, rtol=1e-5, atol=0)


class TestARealNetwork:
    """A classifier of 830 parameters, partly trained, and its Hessian written down."""

    @pytest.fixture(scope="class")
    @classmethod
    def hessian(cls):
        torch.manual_seed(0)
        generator = torch.Generator().manual_seed(0)
        centres = torch.randn(10, 30, generator=generator, dtype=torch.float64)
        targets = torch.arange(100) % 10
        noise = torch.randn(100, 30, generator=generator, dtype=torch.float64)
        inputs = torch.sigmoid(centres[targets] + 1.5 * noise)
        layers = [nn.Linear(30, 16), nn.Tanh(), nn.Linear(16, 12), nn.Tanh(), nn.Linear(12, 10)]
        model = nn.Sequential(*layers).double()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        for _ in range(60):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), targets).backward()
            optimizer.step()
        dense = Hessian.of_model(model, F.cross_entropy, (inputs, targets)).to_dense()
        matrix = Matrix((dense + dense.T) / 2)
        return matrix, truth(matrix)

    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_the_ten_largest(self, hessian, seed):
        matrix, exact = hessian
        operator = Counting(matrix)
        asked = {"k": 10, "ends": "largest", "tol": 1e-4, "relative_to": "each"}
        found = lanczos(operator, accept="likely", seed=seed, **asked)
        assert found.products == operator.count <= 45
        torch.testing.assert_close(values(found.top), exact.flip(0)[:10], rtol=1e-4, atol=0)

    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_the_smallest(self, hessian, seed):
        matrix, exact = hessian
        asked = {"ends": "smallest", "tol": 1e-4, "relative_to": "each"}
        found = lanczos(matrix, accept="likely", seed=seed, **asked)
        assert found.products <= 70
        assert found.smallest.value == pytest.approx(float(exact[0]), rel=1e-4)

    @pytest.mark.parametrize("products", [60, 150, 300])
    def test_has_no_ghosts(self, hessian, products):
        """The first ten of many steps are the ten largest, however long ago they converged."""
        matrix, exact = hessian
        found = lanczos(matrix, k=10, tol=1e-15, max_products=products)
        torch.testing.assert_close(values(found.top), exact.flip(0)[:10], rtol=1e-9, atol=0)
        for pair in (*found.top, *found.bottom):
            assert float((exact - pair.value).abs().min()) <= pair.error


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("ends", "both, largest, smallest"),
        ("relative_to", "largest, each"),
        ("accept", "proved, likely"),
    ],
)
def test_unknown_words_are_refused_with_the_known_ones(name, known):
    with pytest.raises(ValueError, match=rf"lanczos\({name}='all'\): choose one of {known}\."):
        lanczos(with_spectrum([1.0, 2.0]), **{name: "all"})
