"""Steps on losses whose curvature is known: they leave above the limit and come back below it."""

import pytest
import torch

from thalweg.curvature.methods import Method
from thalweg.curvature.stepping import mean_factor, stepped

METHODS = [
    Method("gradient-descent"),
    Method("momentum", 0.9),
    Method("nesterov", 0.9),
    Method("adam", 0.9),
]
CURVATURES = torch.tensor([5.0, 1.0, -0.5, 0.0], dtype=torch.float64)
SLOPE = torch.tensor([1.0, -2.0, 3.0, 0.7], dtype=torch.float64)


def quadratic(by):
    return CURVATURES * by + SLOPE


def cubic(by):
    return quadratic(by) + 0.3 * by.square()


def along(index):
    return torch.eye(4, dtype=torch.float64)[index]


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
@pytest.mark.parametrize("gradient", [quadratic, cubic])
@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize(("share", "grows"), [(0.99, False), (1.01, True)])
def test_steps_leave_above_the_limit_alone(method, gradient, index, share, grows):
    lr = share * method.limit / float(CURVATURES[index])
    found = stepped(method, gradient, along(index), lr, steps=12, reach=1e-8)
    assert found.grew is grows
    assert found.steps <= 12


def places(method, x, count):
    """The first places of the recursion at x, from 1 with an empty buffer."""
    c1, c0 = method.recursion(x)
    share = 1 - method.momentum if method.name == "adam" else 1.0
    found = [1.0, 1 - share * x]
    while len(found) <= count:
        found.append(c1 * found[-1] + c0 * found[-2])
    return [abs(one) for one in found[1 : count + 1]]


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
@pytest.mark.parametrize("share", [0.3, 0.9, 1.02, 1.5])
def test_the_factor_is_that_of_the_recursions_places(method, share):
    x = share * method.limit
    found = stepped(method, quadratic, along(0), x / 5.0, steps=18, reach=1.0)
    assert found.factor == pytest.approx(mean_factor(places(method, x, found.steps)), rel=1e-5)
    assert found.factor == pytest.approx(method.factor(x), rel=0.25)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_a_direction_curved_downwards_is_left_at_any_rate(method):
    assert stepped(method, quadratic, along(2), 1e-2, steps=12, reach=1e-8).grew


def test_a_diagonal_divides_the_steps():
    diagonal = torch.tensor([4.0, 1.0, 1.0, 1.0], dtype=torch.float64)
    limit = 2 * 4 / 5
    for share, grows in ((0.99, False), (1.01, True)):
        found = stepped(
            METHODS[0],
            quadratic,
            along(0),
            share * limit,
            steps=12,
            reach=1e-8,
            diagonal=diagonal,
        )
        assert found.grew is grows


def test_steps_that_run_off_to_infinity_grew():
    found = stepped(METHODS[0], lambda by: by**3 * 1e200, along(0), 1.0, steps=12, reach=1.0)
    assert found.grew
    assert found.steps < 12
