"""Positions of samples in layers: remembered as they are, looked for anew where they changed."""

import pytest
import torch
from torch import nn

from thalweg.minimize import Objective
from thalweg.operators import alignment
from thalweg.operators.alignment import Positions, aligned
from thalweg.operators.evaluation import Evaluation, Piece, Settings
from thalweg.operators.kronecker import Kronecker

N, T = 4, 2


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


@pytest.fixture
def passes(monkeypatch):
    """How many experiments were made."""
    made, inner = [], alignment.derivatives_at
    count = lambda *args: made.append(1) or inner(*args)
    monkeypatch.setattr(alignment, "derivatives_at", count)
    return made


def mean_square(z):
    return z.square().mean()


def weights():
    return {"a": numbers(3, 3), "b": numbers(2, 3, seed=1)}


def turned(params, x, by):
    """Two layers, the first of which sees samples in another order."""
    h = torch.tanh(nn.functional.linear(x[by], params["a"]))
    return nn.functional.linear(h[by.argsort()], params["b"])


def factors(output, positions):
    return Kronecker.of_pieces(
        [Piece(output, mean_square, positions=positions)], weights(), Settings()
    ).to_dense()


def test_the_same_program_is_asked_for_one_digit_a_time_and_has_the_same_factors(passes):
    x, positions, found = numbers(N, 3, seed=2), Positions(), []
    identity, made = torch.arange(N), []
    for _ in range(3):
        before = len(passes)
        found.append(factors(lambda p: turned(p, x, identity), positions))
        made.append(len(passes) - before)
    assert made == [4, 2, 2]
    assert all(torch.equal(each, found[0]) for each in found)


@pytest.mark.parametrize("order", [(1, 0, 3, 2), (2, 3, 0, 1), (3, 2, 1, 0), (1, 2, 3, 0)])
def test_a_program_that_takes_samples_in_another_order_is_found_out(order):
    x, positions = numbers(N, 3, seed=2), Positions()
    factors(lambda p: turned(p, x, torch.arange(N)), positions)
    swapped, last = torch.tensor(order), lambda p: turned(p, x, torch.tensor(order))
    for _ in range(2):  # as many as there are digits
        now = factors(last, positions)
    torch.testing.assert_close(now, factors(lambda p: turned(p, x, swapped), None))


def test_what_the_experiments_leave_open_is_not_remembered(passes):
    x = numbers(T, T, 3, seed=3)  # time first, as many times as samples

    def output(params):
        h = nn.functional.linear(x, params["a"])
        return nn.functional.linear(h.sum(0), params["b"])

    silent = {"a": numbers(3, 3), "b": torch.zeros(2, 3).double()}
    positions = Positions()
    piece = Piece(output, mean_square, positions=positions)
    first = Evaluation.of(piece, silent)
    assert len(first.uses) == 2
    anew = Evaluation.of(Piece(output, mean_square), weights())
    again = Evaluation.of(piece, weights())
    for one, other in zip(again.uses, anew.uses, strict=True):
        torch.testing.assert_close(one.entries(), other.entries())
    assert torch.equal(again.uses[0].entries()[:, :, 0], x.transpose(0, 1))


def test_coupled_samples_are_never_remembered():
    rows = numbers(N, 2).requires_grad_() * 1.0
    positions = Positions()
    assert aligned(rows, [], coupled=True, positions=positions) == ([], [])
    assert positions.recalled(rows, []) is None


def test_a_models_loss_remembers_from_place_to_place(passes):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2)).double()
    data = (numbers(N, 3), numbers(N, 2, seed=1))
    objective = Objective.of_model(model, nn.MSELoss(), data)
    for x in (objective.start, 2 * objective.start):
        before = len(passes)
        objective.kronecker(x, Settings())
        made = len(passes) - before
    assert made == 2
