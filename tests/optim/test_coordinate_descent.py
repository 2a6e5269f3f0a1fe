"""Coordinate descent as an optimizer: groups, idle parameters, and runs that are resumed."""

import copy

import pytest
import torch
from torch import nn

from thalweg.optim import CoordinateDescent


def ones(*sizes, dtype=torch.float64):
    return [nn.Parameter(torch.ones(size, dtype=dtype)) for size in sizes]


def moves(optimizer, steps, gradient=torch.ones_like):
    """Which coordinates each step moves, counted over all parameters that the optimizer has."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    moved = []
    for _ in range(steps):
        before = torch.cat([p.detach().flatten() for p in params])
        for p in params:
            p.grad = gradient(p.detach()) if p.requires_grad else None
        optimizer.step()
        after = torch.cat([p.detach().flatten() for p in params])
        moved.append((after != before).nonzero().flatten().tolist())
    return moved


def test_turns_go_round_all_groups():
    one, two, three = ones((2, 2), 1, 3)
    optimizer = CoordinateDescent([{"params": [one, two]}, {"params": [three]}], lr=0.1)
    assert moves(optimizer, 10) == [[i % 8] for i in range(10)]


def test_a_parameter_without_gradient_is_passed_over():
    one, idle, two = ones(2, 3, 2)
    idle.requires_grad_(False)
    assert moves(CoordinateDescent([one, idle, two]), 5) == [[0], [1], [5], [6], [0]]


def test_groups_step_by_their_own_rates():
    one, two = ones(1, 1)
    optimizer = CoordinateDescent([{"params": [one], "lr": 0.1}, {"params": [two], "lr": 0.3}])
    moves(optimizer, 2)
    assert one.item() == pytest.approx(0.9)
    assert two.item() == pytest.approx(0.7)


def test_the_greedy_choice_is_the_steepest_coordinate():
    params = ones(3, 2)
    slopes = iter([[1.0, -5.0, 2.0], [4.0, 3.0], [1.0, 1.0, 2.0], [0.0, -9.0]])
    optimizer = CoordinateDescent(params, selection="greedy")
    assert moves(optimizer, 2, lambda p: torch.tensor(next(slopes)).to(p)) == [[1], [4]]


def test_a_random_choice_is_fair_and_follows_from_the_seed():
    choices = moves(CoordinateDescent(ones(3, 2), selection="random", seed=3), 500)
    counts = torch.bincount(torch.tensor(choices).flatten(), minlength=5)
    assert bool(((counts - 100).abs() < 4 * (500 * 0.2 * 0.8) ** 0.5).all())
    assert choices[:50] == moves(CoordinateDescent(ones(3, 2), selection="random", seed=3), 50)
    assert choices[:50] != moves(CoordinateDescent(ones(3, 2), selection="random", seed=4), 50)


@pytest.mark.parametrize("selection", ["cyclic", "random"])
def test_a_resumed_run_goes_on_as_it_would_have(selection):
    make = lambda: CoordinateDescent(ones(300, 300, dtype=torch.bfloat16), 0.1, selection)
    whole, begun, resumed = make(), make(), make()
    expected = moves(whole, 9)
    moves(begun, 4)
    resumed.load_state_dict(copy.deepcopy(begun.state_dict()))
    assert moves(resumed, 5) == expected[4:]
