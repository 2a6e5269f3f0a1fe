"""Spectra against matrices of known eigenvalues; the picture and the drawing against counts."""

import math
from itertools import pairwise
from xml.etree import ElementTree

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.curvature import Hessian, spectrum
from thalweg.curvature.histogram import BINS
from thalweg.curvature.picture import LABEL, ROWS, picture

OUTLIERS = [-5.0, 6.0, 7.5, 20.0]


def quadratic(values):
    """A quadratic loss whose Hessian has these eigenvalues, turned."""
    n = len(values)
    q = torch.linalg.qr(torch.randn(n, n, dtype=torch.float64))[0]
    matrix = q @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ q.T
    start = torch.randn(n, dtype=torch.float64)
    return Hessian(lambda p: p["w"] @ matrix @ p["w"] / 2, {"w": start})


def with_bulk(n):
    """A bulk from -1 to 1, and four outliers."""
    return [*torch.linspace(-1, 1, n - 4, dtype=torch.float64).tolist(), *OUTLIERS]


@pytest.fixture(scope="module", params=[60, 400], ids=["written down", "sampled"])
def known(request):
    """Eigenvalues, and the spectrum that was found of them."""
    torch.manual_seed(0)
    values = with_bulk(request.param)
    return torch.tensor(values), spectrum(quadratic(values), max_products=160)


def test_it_is_exact_exactly_where_the_products_suffice(known):
    values, found = known
    assert found.exact is (len(values) <= 160)
    assert found.products == len(values) if found.exact else found.products <= 160


def test_the_ends_are_the_matrixs(known):
    _, found = known
    assert found.extremes.largest.value == pytest.approx(20, rel=1e-6)
    assert found.extremes.smallest.value == pytest.approx(-5, rel=1e-3)


def test_the_signs_are_the_matrixs(known):
    values, found = known
    for part, truth in ((found.inertia.negative, values < 0), (found.inertia.positive, values > 0)):
        assert part.low <= int(truth.sum()) <= part.high


def test_the_condition_number_is_the_matrixs_or_below(known):
    values, found = known
    truth = float(values.abs().max() / values.abs().min())
    assert found.condition.number <= truth * (1 + 1e-6)
    if found.exact:
        assert found.condition.number == pytest.approx(truth, rel=1e-6)


def test_the_gain_is_weighted_by_the_gradient():
    torch.manual_seed(0)
    hessian = quadratic([1.0, 2.0, 4.0, 100.0])
    values, vectors = torch.linalg.eigh(hessian.to_dense())
    gains = (vectors.T @ hessian.gradient) ** 2 / (2 * values)
    found = spectrum(hessian).gain
    assert found.total == pytest.approx(float(gains.sum()))
    assert found.number == pytest.approx(100 * float(gains.sum() / (gains @ values)))
    assert spectrum(Hessian(lambda p: p["w"].square().sum(), {"w": torch.zeros(3)})).gain is None


def test_the_histogram_holds_every_eigenvalue_where_it_lies(known):
    values, found = known
    bins = found.histogram()
    assert len(bins.edges) == len(bins.counts) + 1 == BINS + 1
    assert sum(bins.counts) == pytest.approx(len(values))
    truth = torch.histogram(values.double(), torch.tensor(bins.edges, dtype=torch.float64))[0]
    apart = (torch.tensor(bins.counts).double().cumsum(0) - truth.cumsum(0)).abs()
    # exact counts differ by what lies on an edge; sampled ones by four standard errors
    assert float(apart.max()) <= (1.5 if found.exact else 0.15 * len(values))


def test_the_outliers_are_those_that_stand_apart(known):
    _, found = known
    marked = found.histogram().outliers
    assert [value for value, _ in marked] == pytest.approx(OUTLIERS, abs=1e-3)
    assert all(abs(v - o) <= e + 1e-9 for (v, e), o in zip(marked, OUTLIERS, strict=True))


def test_the_text_has_a_picture_of_80_columns(known):
    _, found = known
    lines = str(found).splitlines()
    assert all(len(line) <= 80 for line in lines[-ROWS:])
    assert lines[-2].count("^") == 4
    assert lines[-1].split() == ["-5", "0", "20"]


def test_a_nets_spectrum_is_its_dense_hessians():
    net = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 2)).double()
    data = torch.randn(30, 3, dtype=torch.float64), torch.randint(2, (30,))
    values = torch.linalg.eigvalsh(Hessian.of_model(net, F.cross_entropy, data).to_dense())
    found = spectrum(net, F.cross_entropy, data)
    assert torch.allclose(found.density.atoms, values, atol=1e-12)
    assert found.inertia.negative.low == int((values < -found.inertia.threshold).sum())


def test_an_end_that_the_density_missed_is_on_the_axis_and_marked():
    torch.manual_seed(0)
    values = [*torch.rand(395).double().tolist(), -0.3, 5.0, 5.1, 5.2, 9.0]
    found = spectrum(quadratic(values), max_products=160)
    bins = found.histogram()
    assert bins.edges[0] <= found.extremes.smallest.value + found.extremes.smallest.error
    assert bins.edges[-1] >= 9 - 1e-3


def test_one_eigenvalue_has_a_spectrum_too():
    found = spectrum(quadratic([3.0, 3.0, 3.0]))
    assert max(found.histogram().counts) == pytest.approx(3)
    assert found.condition.number == pytest.approx(1)
    assert str(found)


def test_a_matrix_of_zeros_has_no_condition():
    found = spectrum(Hessian(lambda p: p["w"].sum(), {"w": torch.ones(4, dtype=torch.float64)}))
    assert math.isnan(found.condition.number)
    assert (found.inertia.zero.low, found.inertia.zero.high) == (4, 4)


def test_the_same_seed_gives_the_same_spectrum():
    torch.manual_seed(0)
    hessian = quadratic(with_bulk(210))
    one, other = (spectrum(hessian, max_products=160, seed=3).histogram() for _ in range(2))
    assert one == other


def test_too_few_products_are_refused():
    with pytest.raises(ValueError, match=r"spectrum\(max_products=50\): 400 parameters take"):
        spectrum(quadratic(with_bulk(400)), max_products=50)


def test_the_drawing_is_an_svg_with_a_bar_for_each_full_bin(known, tmp_path):
    _, found = known
    found.plot(tmp_path / "spectrum.svg")
    root = ElementTree.parse(tmp_path / "spectrum.svg").getroot()
    kinds = [each.get("class") for each in root.iter()]
    assert kinds.count("bar") == sum(count >= 0.5 for count in found.histogram().counts)
    assert kinds.count("outlier") == 4
    with pytest.raises(ValueError, match=r"end its name in \.svg"):
        found.plot(tmp_path / "spectrum.png")


EDGES = [-1 + i / 5 for i in range(16)]  # from -1 to 2
COUNTS = [1.0, 0, 0, 10, 100, 1000, 100, 10, 1, 0, 0, 0, 0.4, 0, 1.0]


def columns(text):
    """The heights of the bars of a picture, in eighths of a row."""
    blocks = " ▁▂▃▄▅▆▇█"
    rows = [line[LABEL + 2 :].ljust(15) for line in text.splitlines() if "|" in line]
    return [sum(blocks.index(row[i]) for row in rows) for i in range(15)]


def test_bars_are_logarithmic_and_nothing_is_nothing():
    heights = columns(picture(EDGES, COUNTS))
    assert [h > 0 for h in heights] == [count >= 0.5 for count in COUNTS]
    assert heights[5] == 8 * ROWS
    up = [b - a for a, b in pairwise(heights[3:6])]
    assert max(up) - min(up) <= 1  # equal factors, equal steps, but for rounding


def test_powers_of_ten_stand_at_their_rows():
    rows = [line for line in picture(EDGES, COUNTS).splitlines() if "|" in line]
    labels = {line.split("|")[0].strip(): i for i, line in enumerate(reversed(rows))}
    for text, place in labels.items():
        if text:
            share = math.log(float(text.replace(",", "")) / 0.5) / math.log(2000)
            assert place == min(ROWS - 1, math.floor(ROWS * share))
    assert {"1", "10", "100", "1,000"} <= labels.keys()


def test_zero_and_the_outliers_are_marked_where_they_are():
    lines = picture(EDGES, COUNTS, [-1.0, 2.0]).splitlines()
    assert lines[-3].index("+", LABEL + 2) == LABEL + 2 + 5
    assert [i - LABEL - 2 for i, sign in enumerate(lines[-2]) if sign == "^"] == [0, 14]


def test_a_picture_can_be_drawn_in_ascii():
    assert picture(EDGES, COUNTS, [2.0], ascii_only=True).isascii()
