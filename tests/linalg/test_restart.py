"""Restarts within a memory: the same answers, the same guarantees, and the memory obeyed."""

import math

import pytest
import torch
from held import Held
from spectra import SPECTRA, Counting, line, truth, with_spectrum

from thalweg.linalg import lanczos, negative_curvature
from thalweg.linalg.goal import Wanted
from thalweg.linalg.krylov import Krylov
from thalweg.linalg.restart import kept
from thalweg.operators import Operator

BOTH = Wanted(1, 1)
WIDE = [name for name, values in SPECTRA.items() if len(values) > 12]
every_wide_spectrum = pytest.mark.parametrize("name", WIDE)


def vectors(count, operator):
    """Bytes of so many vectors."""
    return count * operator.size * operator.dtype.itemsize


def compressed(operator, *, capacity=10, products=60, wanted=BOTH, seed=0):
    """A space that has been compressed several times."""
    krylov = Krylov(operator, seed=seed, capacity=capacity)
    for _ in range(products):
        if krylov.full:
            krylov.compress(krylov.ritz(), kept(krylov.dimension, wanted))
        krylov.grow()
    return krylov


# Halving again and again towards zero, the smallest values take polynomials of a high degree.
@pytest.mark.parametrize("name", [name for name in WIDE if name != "geometric"])
@pytest.mark.parametrize("room", [12, 20])
@pytest.mark.parametrize("tol", [1e-2, 1e-8])
def test_finds_both_ends_in_little_memory(name, room, tol):
    operator = with_spectrum(SPECTRA[name])
    exact = truth(operator)
    found = lanczos(operator, tol=tol, max_products=2000, memory=vectors(room, operator))
    slack = 3 * tol * float(exact.abs().max())
    assert found.converged
    assert found.largest.value == pytest.approx(float(exact[-1]), rel=0, abs=slack)
    assert found.smallest.value == pytest.approx(float(exact[0]), rel=0, abs=slack)
    assert found.memory <= vectors(room, operator)
    assert found.held <= room


def test_an_end_that_restarts_do_not_reach_is_not_called_converged():
    operator = with_spectrum(SPECTRA["geometric"])
    memory = vectors(12, operator)
    found = lanczos(operator, tol=1e-8, max_products=300, memory=memory)
    assert not found.converged
    assert found.smallest.error > 1e-8
    assert found.smallest.value - found.smallest.error <= 2.0**-59


@every_wide_spectrum
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("products", [11, 25, 60])
def test_what_is_claimed_after_restarts_is_true(name, dtype, products):
    if dtype == torch.float32 and max(map(abs, SPECTRA[name])) > 1e38:
        pytest.skip("beyond float32's range")
    operator = with_spectrum(SPECTRA[name], dtype=dtype)
    dense, exact = operator.to_dense().double(), truth(operator)
    slack = 1e-14 * float(exact.abs().max())  # the reference's own rounding
    memory = vectors(6 + 10, operator)
    found = lanczos(operator, k=2, tol=1e-13, max_products=products, memory=memory)
    assert found.products <= products
    for pair in (*found.top, *found.bottom):
        residual = dense @ pair.vector.double() - pair.value * pair.vector.double()
        assert float(residual.norm()) <= pair.error * (1 + 1e-6) + slack
        assert float((exact - pair.value).abs().min()) <= pair.error + slack
    assert found.lower - slack <= exact[0] <= found.smallest.value + found.rounding + slack
    assert found.upper + slack >= exact[-1] >= found.largest.value - found.rounding - slack


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_basis_and_its_relation_survive_many_restarts(dtype):
    """A V = V T + v c', with V orthonormal, after fifty compressions."""
    operator = with_spectrum(line(-1, 1, 200), dtype=dtype)
    krylov = compressed(operator, capacity=12, products=400)
    v, eps = krylov._basis.to_dense(), torch.finfo(dtype).eps
    assert krylov.compressions > 40
    eye = torch.eye(len(v), dtype=dtype)
    assert float((v @ v.T - eye).abs().max()) < 64 * eps
    left = operator.to_dense().double() @ v.T.double()
    right = v.T.double() @ krylov._projected
    right = right + krylov._next.double()[:, None] * krylov.coupling
    assert float((left - right).norm()) <= krylov.rounding < 1000 * eps


def test_the_polynomial_keeps_what_was_let_go():
    """p(A) b = prod beta v: the product of all shifted matrices, applied to the start."""
    operator = with_spectrum(line(-1, 1, 40))
    start = torch.randn(40, dtype=torch.float64)
    krylov = Krylov(operator, seed=0, start=start, capacity=6)
    for _ in range(14):
        if krylov.full:
            krylov.compress(krylov.ritz(), kept(krylov.dimension, BOTH))
        krylov.grow()
    zeros, betas = krylov.first_block()
    image = start / start.norm()
    for zero in zeros.tolist():
        image = operator @ image - zero * image
    assert len(zeros) == len(betas) == krylov.products == 14
    assert krylov.compressions >= 2
    assert float((image / betas.prod() - krylov._next).norm()) < 1e-9


def test_outer_bounds_hold_for_many_starts():
    operator = with_spectrum([*line(-1, 1, 60), 1.05, -1.3])
    exact = truth(operator)
    for seed in range(100):
        memory = vectors(6 + 8, operator)
        found = lanczos(operator, tol=1e-12, max_products=20, memory=memory, seed=seed)
        assert found.restarts >= 2
        assert found.lower <= exact[0]
        assert found.upper >= exact[-1]


def test_more_memory_never_takes_many_more_products():
    operator = with_spectrum(line(-1, 1, 300))
    counts = [
        lanczos(operator, tol=1e-6, max_products=3000, memory=vectors(room, operator)).products
        for room in (12, 20, 40, 300)
    ]
    free = lanczos(operator, tol=1e-6, max_products=3000)
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == free.products
    assert counts[1] < 4 * free.products


def test_no_ghosts_after_restarts():
    generator = torch.Generator().manual_seed(5)
    bulk = 0.01 * torch.randn(190, generator=generator, dtype=torch.float64)
    operator = with_spectrum(torch.cat([bulk, 2.0 ** torch.arange(-5, 5)]))
    memory = vectors(40, operator)
    found = lanczos(operator, k=10, ends="largest", tol=1e-13, max_products=300, memory=memory)
    top = torch.tensor([pair.value for pair in found.top], dtype=torch.float64)
    torch.testing.assert_close(top, truth(operator).flip(0)[:10], rtol=1e-12, atol=1e-12)
    v = torch.stack([pair.vector for pair in found.top])
    torch.testing.assert_close(v @ v.T, torch.eye(10, dtype=torch.float64))


@pytest.mark.parametrize("k", [2, 5])
@pytest.mark.parametrize("name", ["degenerate", "quadruplets", "rank two", "identity"])
def test_repeated_values_are_told_apart_where_a_run_goes_to_the_end(name, k):
    operator = with_spectrum(SPECTRA[name])
    memory = vectors(2 * k + 6 + max(6, 2 * k + 3), operator)
    found = lanczos(operator, k=k, tol=1e-10, memory=memory)
    exact, size = truth(operator), max(map(abs, SPECTRA[name]))
    top = torch.tensor([pair.value for pair in found.top], dtype=torch.float64)
    torch.testing.assert_close(top, exact.flip(0)[:k], rtol=0, atol=1e-9 * size)


def test_noise_shows_through_restarts():
    inner = with_spectrum(line(-1, 1, 60))
    operator = Counting(inner, lambda w, _: w + 1e-3 * torch.randn_like(w) / math.sqrt(60))
    found = lanczos(operator, tol=1e-9, max_products=50, memory=vectors(14, inner))
    assert found.rounding >= 1e-3
    assert not found.converged
    assert found.largest.error >= float((truth(inner) - found.largest.value).abs().min())


class Diagonal(Operator):
    """Many rows, no memory of its own but one vector for a product."""

    name, device, facts = "Diagonal", torch.device("cpu"), frozenset()

    def __init__(self, size, dtype):
        self.size, self.dtype = size, dtype
        self._values = torch.linspace(-1, 1, size, dtype=dtype)

    def _product(self, vector):
        return self._values * vector


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("k", "room"), [(1, 16), (1, 29), (3, 33), (5, 40)])
def test_the_memory_is_obeyed_and_used(dtype, k, room):
    operator = Diagonal(40_000, dtype)
    memory = vectors(room, operator)
    with Held() as held:
        found = lanczos(operator, k=k, tol=1e-12, max_products=60, memory=memory)
    assert found.restarts > 0
    assert held.peak <= memory
    assert held.peak >= 0.85 * memory
    assert found.memory <= memory


def test_without_a_memory_it_holds_a_vector_a_product_and_says_so():
    operator = Diagonal(40_000, torch.float32)
    with Held() as held:
        found = lanczos(operator, tol=1e-12, max_products=50)
    assert (found.held, found.restarts, found.products) == (50, 0, 50)
    assert 0.95 * found.memory <= held.peak <= found.memory <= vectors(60, operator)


def test_half_precision_is_held_in_single():
    operator = Diagonal(2_000, torch.bfloat16)
    found = lanczos(operator, max_products=30, memory=12 * 2_000 * 4)
    assert found.held <= 6
    assert found.memory <= 12 * 2_000 * 4


@pytest.mark.parametrize("call", [lanczos, negative_curvature])
def test_too_little_memory_is_refused_with_what_it_takes(call):
    operator = with_spectrum(line(-1, 1, 50))
    with pytest.raises(ValueError, match=rf"{call.__name__}\(memory=400\).*Matrix, 50 x 50.*bytes"):
        call(operator, memory=400)


def test_the_least_memory_named_is_enough():
    operator = with_spectrum(line(-1, 1, 50))
    with pytest.raises(ValueError, match="take at least") as refusal:
        lanczos(operator, k=3, memory=1)
    least = int(str(refusal.value).split("at least ")[1].split()[0])
    found = lanczos(operator, k=3, tol=1e-3, max_products=2000, memory=least)
    assert found.converged
    with pytest.raises(ValueError, match="take at least"):
        lanczos(operator, k=3, memory=least - 1)


@pytest.mark.parametrize("dimension", range(5, 40, 7))
@pytest.mark.parametrize("wanted", [Wanted(1, 1), Wanted(3, 0), Wanted(0, 2), Wanted(1, 3)])
def test_what_is_kept_holds_the_wanted_and_leaves_room(dimension, wanted):
    keep = kept(dimension, wanted)
    assert len(keep) == len(set(keep)) < dimension
    assert set(range(wanted.bottom)) <= set(keep)
    assert set(range(dimension - wanted.top, dimension)) <= set(keep)
    assert {0, dimension - 1} <= set(keep)


def test_a_full_space_cannot_grow():
    krylov = Krylov(with_spectrum(line(-1, 1, 30)), seed=0, capacity=3)
    for _ in range(3):
        krylov.grow()
    assert krylov.full
    with pytest.raises(ValueError, match="3 vectors, its capacity"):
        krylov.grow()
