"""Bounds on a vector's share below a point, against the eigenvectors themselves."""

import pytest
import torch
from spectra import SPECTRA, line, with_spectrum

from thalweg.linalg.krylov import Krylov
from thalweg.linalg.share_below import at_a_node, between_nodes, bordered, share_below

every_spectrum = pytest.mark.parametrize("values", SPECTRA.values(), ids=SPECTRA.keys())


def run(operator, products, seed=0):
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(operator.size, generator=generator, dtype=torch.float64)
    krylov = Krylov(operator, seed=0, start=start)
    while krylov.products < min(products, operator.size) and not krylov.closed:
        krylov.grow()
    return krylov, start / start.norm()


def shares(operator, start):
    """Eigenvalues and the cumulated squares of the start along them."""
    values, vectors = torch.linalg.eigh(operator.to_dense())
    return values, (start @ vectors).square()


@every_spectrum
@pytest.mark.parametrize("products", [1, 2, 5, 20])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_bounds_hold(values, products, seed):
    operator = with_spectrum(values)
    krylov, start = run(operator, products, seed)
    exact, squares = shares(operator, start)
    size = max(float(exact.abs().max()), 1e-300)
    for point in torch.linspace(-1.1, 1.1, 23).tolist():
        x = point * size
        if float((exact - x).abs().min()) < 1e-12 * size:
            continue  # on which side an eigenvalue lies is a matter of rounding
        low, high = share_below(krylov, x)
        true = float(squares[exact < x].sum())
        assert low - 1e-10 <= true <= high + 1e-10


def test_the_bounds_meet_as_the_run_grows():
    operator = with_spectrum(line(-1, 1, 80))
    widths = []
    for products in (5, 20, 60, 79):
        low, high = share_below(run(operator, products)[0], 0.13)
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.05


def test_the_bounds_meet_where_the_space_closes():
    operator = with_spectrum(SPECTRA["degenerate"])
    krylov, start = run(operator, 20)
    exact, squares = shares(operator, start)
    low, high = share_below(krylov, 3.0)
    assert low == high == pytest.approx(float(squares[exact < 3].sum()), rel=1e-10)


@pytest.mark.parametrize("x", [-0.9, -0.31, 0.0, 0.5, 1.2])
def test_the_bordered_quadrature_has_its_node_and_the_moments(x):
    """Exact for polynomials of degree 2m, which define it together with the node."""
    operator = with_spectrum(line(-1, 1, 50))
    krylov, start = run(operator, 6)
    ritz = krylov.ritz()
    entry = float((krylov.coupling @ ritz.weights).square().div(ritz.values - x).sum())
    nodes, weights = bordered(krylov, ritz, x + entry)
    assert float((nodes - x).abs().min()) < 1e-12
    image = start
    for degree in range(13):
        moment = float((weights * nodes**degree).sum())
        assert moment == pytest.approx(float(start @ image), abs=1e-10)
        image = operator @ image


def test_the_node_is_worth_having():
    operator = with_spectrum(line(-1, 1, 200))
    krylov, _ = run(operator, 30)
    ritz = krylov.ritz()
    low, high = share_below(krylov, 0.01)
    wide = between_nodes(ritz.values, ritz.weights[0].square(), 0.01)
    assert wide[0] <= low <= high <= wide[1]
    assert high - low < 0.7 * (wide[1] - wide[0])


def test_a_point_that_is_a_ritz_value_needs_no_border():
    operator = with_spectrum(line(-1, 1, 60))
    krylov, start = run(operator, 10)
    exact, squares = shares(operator, start)
    x = float(krylov.ritz().values[4])
    low, high = share_below(krylov, x)
    assert low <= float(squares[exact < x].sum()) <= high < 1


@pytest.mark.parametrize("off", [1e-15, -1e-14, 1e-13, -1e-12, 1e-10, -1e-8])
@pytest.mark.parametrize("i", [0, 4, 9])
def test_a_point_close_to_a_ritz_value_loses_no_digits(off, i):
    operator = with_spectrum(line(-1, 1, 60))
    krylov, _ = run(operator, 10)
    ritz = krylov.ritz()
    weights = ritz.weights[0].square()
    low, high = share_below(krylov, float(ritz.values[i]) + off)
    below = float(weights[:i].sum())
    assert low == pytest.approx(below, abs=1e-7)
    assert high == pytest.approx(below + float(weights[i]), abs=1e-7)


def test_rules_by_example():
    nodes, weights = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.5, 0.25, 0.25])
    assert at_a_node(nodes, weights, 2.0) == (0.5, 0.75)
    assert between_nodes(nodes, weights, 2.5) == (0.5, 1.0)
    assert between_nodes(nodes, weights, 0.5) == (0.0, 0.5)
    assert between_nodes(nodes, weights, 3.5) == (0.75, 1.0)
