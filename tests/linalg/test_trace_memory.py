"""A trace within a memory: obeyed, and the interval covers as without."""

import pytest
import torch
from held import Held
from scipy import stats
from spectra import with_spectrum

from thalweg.linalg import trace
from thalweg.operators import Operator

SIZE = 4000
VALUES = torch.cat([torch.linspace(-0.1, 0.4, 290), torch.logspace(0, 1.5, 10)]).double()


class Line(Operator):
    """No memory of its own but that of the products."""

    name, size, device, facts = "Line", SIZE, torch.device("cpu"), frozenset()

    def __init__(self, dtype):
        self.dtype, self._values = dtype, torch.linspace(-1, 2, SIZE, dtype=dtype)

    def _product(self, vector):
        return self._values * vector


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("room", [26, 32, 60, 110])
def test_the_memory_is_obeyed(dtype, room):
    operator, products = Line(dtype), 60
    memory = room * SIZE * torch.promote_types(dtype, torch.float32).itemsize
    with Held() as held:
        found = trace(operator, products=products, memory=memory)
    assert held.peak <= memory
    assert found.products == products


def test_with_room_for_all_nothing_changes():
    operator = with_spectrum(VALUES)
    plain = trace(operator, products=60)
    assert trace(operator, products=60, memory=110 * len(VALUES) * 8) == plain
    assert trace(operator, products=60, memory=109 * len(VALUES) * 8) != plain


SEEDS = 60


# In the last nearly as many are drawn as there are, and they are independent all the same.
SAMPLED = [(VALUES, 1), (VALUES, 12), (torch.linspace(-1, 2, 54).double(), 1)]


@pytest.mark.parametrize(("values", "room"), SAMPLED)
def test_the_interval_covers_and_the_error_is_the_one_claimed(values, room):
    operator, exact = with_spectrum(values), float(values.sum())
    memory = (25 + room) * len(values) * 8
    found = [trace(operator, products=48, memory=memory, seed=seed) for seed in range(SEEDS)]
    covered = sum(one.lower <= exact <= one.upper for one in found)
    assert covered >= stats.binom.ppf(1e-4, SEEDS, 0.95)
    measured = (sum((one.value - exact) ** 2 for one in found) / SEEDS) ** 0.5
    claimed = (sum(one.standard_error**2 for one in found) / SEEDS) ** 0.5
    assert 0.75 < claimed / measured < 1.5


def test_more_room_is_a_smaller_error():
    operator = with_spectrum(VALUES)
    errors = [
        trace(operator, products=48, memory=room * len(VALUES) * 8).standard_error
        for room in (26, 37, 100)
    ]
    assert errors[0] > errors[1] > errors[2]


def test_refuses_too_little_and_methods_that_keep_to_none():
    operator = with_spectrum(VALUES)
    says = r"trace\(memory=1000\).*Matrix, 300 x 300.*62400 bytes, which are 26 vectors"
    with pytest.raises(ValueError, match=says):
        trace(operator, products=48, memory=1000)
    assert trace(operator, products=48, memory=62400).products == 48
    with pytest.raises(ValueError, match=r"method='xtrace', memory=1000000.*only 'krylov'"):
        trace(operator, products=48, memory=10**6, method="xtrace")
