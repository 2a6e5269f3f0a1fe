"""Steps on losses whose curvature is known: they leave above the limit and come back below it."""

import pytest
import torch

from thalweg.answers.methods import Method
from thalweg.answers.stepping import stepped

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
    assert found.steps == 12


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_the_factor_is_the_recursions(method):
    x = 1.2 * method.limit
    found = stepped(method, quadratic, along(0), x / 5.0, steps=40, reach=1e-8)
    assert found.factor == pytest.approx(method.factor(x), rel=1e-3)


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
