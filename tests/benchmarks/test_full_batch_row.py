"""The rows on full-batch training and on a step's arithmetic: what they count."""

import math
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def benchmarks_path(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])


def test_the_pendulums_derivatives_are_autograds():
    from solving.nets import Pendulum, times

    net, t = Pendulum(0), times()[0].requires_grad_()
    x = 1 + t**2 * net.net(t / 4.0)
    (speed,) = torch.autograd.grad(x.sum(), t, create_graph=True)
    (acceleration,) = torch.autograd.grad(speed.sum(), t)
    torch.testing.assert_close(net(t), acceleration + torch.sin(x))


def test_a_loss_with_its_gradient_counts_one_and_the_target_ends_a_run():
    from solving.full_batch import Budget, Over
    from solving.nets import PROBLEMS

    budget = Budget(PROBLEMS[2], 0, 10)
    with budget.counter:
        value, _ = budget.gradient(budget.start)
        assert budget.spent == pytest.approx(1.0)
        budget.see(value.item())
        with pytest.raises(Over):
            budget.see(0.0)
    assert budget.spent_at == pytest.approx(1.0)


def test_sums_over_vectors_of_all_parameters_cost_nothing_however_they_are_written():
    from solving.full_batch import operations

    pairs, vector, layer = torch.ones(3, 7), torch.ones(7), torch.ones(3, 5)
    assert operations(lambda: pairs @ vector, 7) == 0
    assert operations(lambda: pairs @ vector[:, None], 7) == 0
    assert operations(lambda: layer @ layer.T, 7) == 2 * 3 * 5 * 3


def test_a_run_out_of_budget_has_no_figure():
    from solving.full_batch import OURS, spent
    from solving.nets import PROBLEMS

    assert spent(OURS["l-bfgs (default)"], PROBLEMS[2], 0, 2) == math.inf


def test_a_steps_own_time_leaves_out_the_losss():
    from solving import arithmetic

    taken = arithmetic.seconds(1000, torch.float64, 2)
    assert set(taken) == set(arithmetic.CONTESTANTS)
    assert all(len(each) == 2 and min(each) > 0 for each in taken.values())
