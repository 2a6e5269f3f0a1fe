"""Looking along a line at a critical point: both sides, and nothing lower than what is lower."""

import pytest
import torch

from thalweg.minimize import Objective
from thalweg.minimize.contract import Proposal
from thalweg.minimize.line import Ray
from thalweg.minimize.place import Standing
from thalweg.minimize.probe import lower_along


def looked(f, more_than=0.0):
    zero = torch.zeros(1).double()
    objective = Objective(f, zero)
    start = Standing(objective, zero, *objective.evaluate(zero))
    ray = Ray(objective, start, torch.ones(1).double(), allowed=100)
    return lower_along(ray, Proposal(torch.ones(1).double(), 0.0, escapes=True), more_than)


@pytest.mark.parametrize("side", [-1, 1])
def test_either_side_is_found(side):
    found = looked(lambda x: (side * x**3 + x**4).sum())
    assert found.status == "satisfied"
    assert found.alpha == -side * 0.25


def test_a_minimum_has_no_lower_side():
    found = looked(lambda x: (x**4).sum())
    assert (found.status, found.alpha, found.evaluations) == ("rounding", 0.0, 16)


def test_a_decrease_that_does_not_count_is_none():
    assert looked(lambda x: 1e-9 * (x**3 + x**4).sum(), more_than=1e-9).alpha == 0
