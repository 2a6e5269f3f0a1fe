"""The limited memory: its sums on long vectors, what it refuses, and states of a full ring."""

import itertools
import math

import pytest
import torch

from thalweg.minimize.directions.limited_memory import LBFGS, LSR1
from thalweg.minimize.directions.pair import Pair
from thalweg.minimize.directions.pair_memory import PairMemory
from thalweg.minimize.inner_product import ADDED_OF_ROWS, dots

LONG = 3 * ADDED_OF_ROWS + 77
PRECISIONS = ["highest", "high", "medium"]


class Place:
    def __init__(self, x, gradient):
        self.x, self.gradient, self.value = x, gradient, 0.0


def places(count, n, dtype, seed=2):
    """Points of a path, with the gradients of a quadratic of curvatures from 1 to 100."""
    generator = torch.Generator().manual_seed(seed)
    curvatures = torch.logspace(0, 2, n, dtype=torch.float64)
    x = torch.randn(n, generator=generator, dtype=torch.float64)
    for _ in range(count):
        yield Place(x.to(dtype), (curvatures * x).to(dtype))
        step = torch.randn(n, generator=generator, dtype=torch.float64) / curvatures.sqrt()
        x = 0.9 * x + 0.1 * step


def walked(direction, path):
    for before, after in itertools.pairwise(path):
        direction.moved(before, after)
    return direction


def two_loops(g, pairs):
    """Nocedal's recursion (1980) for -H g in float64, oldest pair first."""
    q, alphas = g.double(), []
    for s, y in reversed(pairs):
        alphas.append((s @ q) / (s @ y))
        q = q - alphas[-1] * y
    s, y = pairs[-1]
    r = (s @ y) / (y @ y) * q
    for (s, y), alpha in zip(pairs, reversed(alphas), strict=True):
        r = r + (alpha - (y @ r) / (s @ y)) * s
    return -r


@pytest.mark.parametrize("n", [5, ADDED_OF_ROWS, 2 * ADDED_OF_ROWS, LONG])
def test_inner_products_of_rows_are_those_of_float64(n):
    left, right = (torch.randn(k, n, generator=torch.Generator().manual_seed(k)) for k in (5, 2))
    found, want = dots(left, right), left.double() @ right.double().T
    assert found.dtype == torch.float64
    sizes = torch.outer(left.double().norm(dim=1), right.double().norm(dim=1))
    assert float(((found - want).abs() / sizes).max()) < 2 * torch.finfo(torch.float32).eps


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_programs_faster_products_are_not_the_memorys(precision):
    left, right = (torch.randn(k, LONG, generator=torch.Generator().manual_seed(k)) for k in (5, 2))
    want = dots(left, right)
    torch.set_float32_matmul_precision(precision)
    try:
        assert torch.equal(dots(left, right), want)
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("dtype, most", [(torch.float64, 1e-12), (torch.float32, 2e-6)])
@pytest.mark.parametrize("n", [ADDED_OF_ROWS - 1, LONG])
def test_a_long_direction_is_the_two_loop_recursion_in_float64(n, dtype, most):
    path = list(places(9, n, dtype))
    pairs = [
        ((b.x - a.x).double(), (b.gradient - a.gradient).double())
        for a, b in itertools.pairwise(path)
    ]
    found = walked(LBFGS(5), path).propose(path[-1]).vector
    want = two_loops(path[-1].gradient, pairs[-5:])
    assert found.dtype == dtype
    assert float((found.double() - want).norm() / want.norm()) < most


@pytest.mark.parametrize("make", [LBFGS, LSR1])
def test_what_was_multiplied_on_the_way_is_what_would_be_multiplied_now(make):
    """The digits that a saved state goes on with."""
    *path, last = places(12, LONG, torch.float32)
    first, second = walked(make(4), path), make(4)
    second.load_state_dict(first.state_dict())
    for here in (path[-1], last):
        assert torch.equal(first.propose(here).vector, second.propose(here).vector)
        for direction in (first, second):
            direction.moved(path[-1], last)


def test_a_refused_pair_leaves_a_full_memory_as_it_was():
    path = list(places(8, 40, torch.float64))
    direction, here = walked(LBFGS(3), path), path[-1]
    state, vector = direction.state_dict(), direction.propose(here).vector
    for gradient in (here.gradient - 1.0, torch.full_like(here.x, -math.inf)):
        direction.moved(here, Place(here.x + 1.0, gradient))
        torch.testing.assert_close(direction.state_dict(), state, rtol=0, atol=0)
        assert torch.equal(direction.propose(here).vector, vector)
    assert direction.rejected == 2


def test_a_gradient_asked_for_in_between_does_not_get_in_the_way():
    path = list(places(6, 40, torch.float64))
    direction = walked(LBFGS(3), path)
    want = direction.propose(path[-1]).vector
    direction = walked(LBFGS(3), path)
    direction.propose(path[0])
    assert torch.equal(direction.propose(path[-1]).vector, want)


def test_a_vector_written_over_is_multiplied_anew():
    """As conjugate gradients do with theirs."""
    path = list(places(6, 40, torch.float64))
    inverse = walked(LBFGS(3), path).inverse()
    vector = torch.ones(40).double()
    first = inverse @ vector
    torch.testing.assert_close(inverse @ vector.mul_(2), 2 * first)


def test_the_order_of_writing_weighing_and_keeping_is_told():
    memory = PairMemory(2)
    with pytest.raises(RuntimeError, match="room"):
        memory.weigh(torch.ones(3))
    with pytest.raises(RuntimeError, match="weigh first"):
        memory.keep()
    with pytest.raises(RuntimeError, match="no pair"):
        memory.products(torch.ones(3))


def test_a_pair_may_be_taught_without_a_place():
    path = list(places(7, 40, torch.float64))
    taught = LBFGS(3)
    for a, b in itertools.pairwise(path):
        s, y = b.x - a.x, b.gradient - a.gradient
        taught.learn(Pair(s, y, float(s @ y)))
    walked_there = walked(LBFGS(3), path)
    torch.testing.assert_close(
        taught.propose(path[-1]).vector, walked_there.propose(path[-1]).vector
    )
