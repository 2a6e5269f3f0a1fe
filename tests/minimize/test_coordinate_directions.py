"""Coordinate descent against Gauss and Seidel's iterations, which it is on a quadratic."""

import pytest
import torch
from second_order_places import At, descend, quadratic, saddle, turned, vector

from thalweg.minimize.directions.coordinate_descent import CoordinateDescent, block_step
from thalweg.operators import Matrix

N = 6
A, _ = turned(torch.linspace(0.5, 4, N))
B = vector(N)
START = vector(N, seed=5)
EACH = [(i,) for i in range(N)]
PAIRS = [(0, 1), (2, 3), (4, 5)]
BLOCKS = {
    "coordinates": (1, EACH),
    "pairs": (2, PAIRS),
    "fours": (4, [(0, 1, 2, 3), (4, 5)]),
    "named": (((5, 0), (3,), (1, 2, 4)), ((5, 0), (3,), (1, 2, 4))),
}


def gauss_seidel(x, blocks):
    """One iteration: each block solves its own equations, with what is known of the others."""
    x = x.clone()
    for block in map(list, blocks):
        rest = B[block] - A[block] @ x + A[block][:, block] @ x[block]
        x[block] = torch.linalg.solve(A[block][:, block], rest)
    return x


@pytest.mark.parametrize("setting, blocks", BLOCKS.values(), ids=BLOCKS)
def test_a_round_is_an_iteration_of_gauss_and_seidel(setting, blocks):
    at = At(quadratic(A, B), START)
    path = descend(CoordinateDescent(setting), at, 2 * len(blocks))
    assert torch.allclose(path[len(blocks)].x, gauss_seidel(START, blocks))
    assert torch.allclose(path[-1].x, gauss_seidel(gauss_seidel(START, blocks), blocks))


@pytest.mark.parametrize("order", ["cyclic", "random", "greedy"])
def test_the_step_ends_at_the_minimum_along_its_coordinate(order):
    at = At(quadratic(A, B), START)
    proposal = CoordinateDescent(order=order).propose(at)
    moved = proposal.vector.nonzero()[:, 0]
    assert len(moved) == 1
    there = at.moved(proposal.vector)
    assert abs(float(there.gradient[moved])) < 1e-14
    assert proposal.slope == pytest.approx(float(at.gradient @ proposal.vector))
    assert proposal.curvature == pytest.approx(float(proposal.vector @ A @ proposal.vector))


def test_a_block_of_all_is_newton_s_method():
    at = At(quadratic(A, B), START)
    step = CoordinateDescent(N).propose(at).vector
    assert torch.allclose(at.x + step, torch.linalg.solve(A, B))


def test_greedy_takes_the_longest_gradient():
    direction = CoordinateDescent(2, order="greedy")
    at = At(quadratic(A, B), START)
    for _ in range(5):
        step = direction.propose(at).vector
        longest = int(at.gradient.reshape(3, 2).norm(dim=1).argmax())
        assert set(step.nonzero()[:, 0].tolist()) == {2 * longest, 2 * longest + 1}
        at = at.moved(step)


def test_the_random_order_takes_all_alike_and_goes_on_exactly():
    at = At(quadratic(A, B), START)
    first = CoordinateDescent(order="random", seed=3)
    taken = [int(first.propose(at).vector.nonzero()) for _ in range(600)]
    counts = torch.tensor(taken).bincount(minlength=N)
    assert float(((counts - 100) ** 2 / 100).sum()) < 20.5  # chi square, 5 degrees, one in 1,000
    second = CoordinateDescent(order="random", seed=4)
    second.load_state_dict(first.state_dict())
    for _ in range(20):
        assert torch.equal(first.propose(at).vector, second.propose(at).vector)


def test_the_cycle_goes_on_where_it_was():
    at = At(quadratic(A, B), START)
    first = CoordinateDescent()
    first.propose(at)
    second = CoordinateDescent()
    second.load_state_dict(first.state_dict())
    assert int(second.propose(at).vector.nonzero()) == 1


@pytest.mark.parametrize("order", ["cyclic", "random"])
def test_blocks_without_a_gradient_are_passed_over(order):
    scale = torch.tensor([1.0, 0.0, 1.0, 1e-12]).double()
    at = At(lambda x: (scale * x).square().sum(), torch.ones(4).double())
    direction = CoordinateDescent(order=order)
    taken = [int(direction.propose(at).vector.nonzero()) for _ in range(6)]
    assert set(taken) == {0, 2}
    assert order == "random" or taken == [0, 2] * 3


def test_negative_curvature_is_left_downhill():
    at = At(saddle, torch.tensor([0.0, 0.1]).double())
    step = CoordinateDescent().propose(at).vector
    assert step[0] == 0
    assert step[1] == pytest.approx(float(-at.gradient[1] / -at.dense()[1, 1]))
    assert step[1] > 0


def test_where_the_gradient_is_zero_it_stays():
    proposal = CoordinateDescent().propose(At(quadratic(A, 0 * B), 0 * START))
    assert not proposal.vector.any()
    assert proposal.slope == 0


def test_what_is_in_no_block_stays():
    at = At(quadratic(A, B), START)
    path = descend(CoordinateDescent([[0, 2]]), at, 3)
    rest = [1, 3, 4, 5]
    assert torch.equal(path[-1].x[rest], START[rest])
    assert float(path[-1].gradient[[0, 2]].norm()) < 1e-12


@pytest.mark.parametrize("order", ["cyclic", "random", "greedy"])
def test_a_convex_loss_is_minimized(order):
    loss = lambda x: quadratic(A, B)(x) + x.pow(4).sum()
    # Nearer, the loss no longer tells: a gradient g lowers it by g^2, and it is rounded to 1e-16.
    path = descend(CoordinateDescent(order=order), At(loss, START), 300, until=1e-7)
    assert float(path[-1].gradient.norm()) <= 1e-7


def test_a_flat_block_takes_the_gradient():
    g = vector(3)
    proposal = block_step(Matrix(torch.zeros(3, 3).double()), g, torch.tensor([0, 2]))
    assert torch.equal(proposal.vector, -g * torch.tensor([1, 0, 1]))


@pytest.mark.parametrize(
    "setting, says",
    [
        (0, r"CoordinateDescent\(blocks=0\): give at least 1"),
        ([], "at least one block"),
        ([[0], []], "each of one index"),
        ([[0, -1]], "from 0"),
        ([[0, 1], [1]], "in two blocks"),
    ],
)
def test_blocks_that_are_none_are_refused(setting, says):
    with pytest.raises(ValueError, match=says):
        CoordinateDescent(setting)


def test_a_block_beyond_the_parameters_is_refused():
    with pytest.raises(ValueError, match="index 6; there are 6 parameters, 0 to 5"):
        CoordinateDescent([[0, 6]]).propose(At(quadratic(A, B), START))


def test_an_unknown_order_is_refused():
    with pytest.raises(ValueError, match="choose one of cyclic, random, greedy"):
        CoordinateDescent(order="any")
