"""The surgeon's formulas against constrained minima of quadratics, solved directly."""

import pytest
import torch
from quadratics import constrained, positive_definite, vector

from thalweg.operators import Matrix
from thalweg.pruning.brain_surgeon import eliminate, saliencies
from thalweg.pruning.compensation import compensated, fitted
from thalweg.pruning.optimal_compression import cheapest, choose
from thalweg.pruning.pattern import Pattern
from thalweg.pruning.sparse_gpt import compress, factor, sweep

SIZE = 8
HESSIAN, PLACE = positive_definite(SIZE), vector(SIZE)
INVERSE = torch.linalg.inv(HESSIAN)


def removing(*numbers):
    mask = torch.zeros(SIZE, dtype=torch.bool)
    mask[list(numbers)] = True
    return mask


def run(quota, *, units=SIZE, width=1, compensate=True):
    group, quotas = torch.zeros(units, dtype=torch.int64), torch.tensor([quota])
    rows, inverse = PLACE.reshape(1, 1, -1), INVERSE[None]
    return eliminate(rows, inverse, group, quotas, width=width, compensate=compensate)


@pytest.mark.parametrize("width", [1, 2, 4])
def test_a_saliency_is_what_the_removal_costs(width):
    found = saliencies(PLACE.reshape(1, 1, -1), INVERSE[None], width, SIZE // width)[0]
    for unit, loss in enumerate(found.tolist()):
        gone = removing(*range(unit * width, (unit + 1) * width))
        assert loss == pytest.approx(constrained(HESSIAN, PLACE, gone)[1], rel=1e-9)


@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("quota", [0, 1, 2, 3])
def test_what_is_left_is_the_constrained_minimum(width, quota):
    found = run(quota, units=SIZE // width, width=width)
    gone = removing(*[u * width + i for u in found.order[0].tolist() for i in range(width)])
    wanted, loss = constrained(HESSIAN, PLACE, gone)
    torch.testing.assert_close(found.weights[0, 0], wanted, rtol=1e-9, atol=1e-12)
    assert float(found.losses.sum()) == pytest.approx(loss, rel=1e-9)


def test_the_cheapest_goes_each_time():
    order = run(5).order[0].tolist()
    for step, chosen in enumerate(order):
        before = order[:step]
        others = [n for n in range(SIZE) if n not in before]
        cost = {n: constrained(HESSIAN, PLACE, removing(*before, n))[1] for n in others}
        assert chosen == min(cost, key=cost.get)


def test_columns_in_no_unit_stay_and_make_up():
    found = run(5, units=5)
    wanted, _ = constrained(HESSIAN, PLACE, removing(0, 1, 2, 3, 4))
    torch.testing.assert_close(found.weights[0, 0], wanted, rtol=1e-9, atol=1e-12)


def test_without_compensation_the_others_stay():
    found = run(3, compensate=False)
    gone = removing(*found.order[0].tolist())
    assert torch.equal(found.weights[0, 0], PLACE.masked_fill(gone, 0))


def test_quotas_of_groups_are_kept():
    group, quotas = torch.arange(SIZE) // 4, torch.tensor([3, 1])
    found = eliminate(PLACE.reshape(1, 1, -1), INVERSE[None], group, quotas)
    assert group[found.order[0]].bincount().tolist() == [3, 1]


def test_rows_of_a_band_go_together():
    rows = vector(2, SIZE, seed=5)
    found = eliminate(
        rows[None], INVERSE[None], torch.zeros(SIZE, dtype=torch.int64), torch.tensor([3])
    )
    gone = removing(*found.order[0].tolist())
    for row, left in zip(rows, found.weights[0], strict=True):
        torch.testing.assert_close(left, constrained(HESSIAN, row, gone)[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("gone", [(), (0,), (1, 4, 6), tuple(range(SIZE))], ids=str)
def test_by_products_alone_the_minimum_is_the_same(gone):
    operator = Matrix(HESSIAN, facts=frozenset({"psd"}))
    damped = HESSIAN + 0.3 * torch.eye(SIZE, dtype=torch.float64)
    found = compensated(operator, PLACE, removing(*gone), 0.3)
    wanted = constrained(damped, PLACE, removing(*gone))[0]
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


def test_rows_that_share_a_matrix_are_fitted_each_by_itself():
    rows, gone = vector(3, SIZE), torch.stack([removing(0), removing(1, 2), removing()])
    for left, row, mask in zip(fitted(rows, HESSIAN, gone), rows, gone, strict=True):
        torch.testing.assert_close(left, constrained(HESSIAN, row, mask)[0], rtol=1e-9, atol=1e-12)


def test_rows_lose_what_is_cheapest_next():
    losses = torch.rand(4, 6, generator=torch.Generator().manual_seed(3))
    taken = [0] * 4
    for _ in range(9):  # the heads of the rows' queues, one after the other
        heads = {row: float(losses[row, n]) for row, n in enumerate(taken) if n < 6}
        taken[min(heads, key=heads.get)] += 1
    assert cheapest(losses, 9).sum(1).tolist() == taken


@pytest.mark.parametrize("pattern", ["unstructured", "2:4", (1, 2), (2, 1), (2, 4)], ids=str)
def test_a_layer_has_the_pattern_and_the_sparsity(pattern):
    form, rows = Pattern.of(pattern), vector(4, SIZE)
    gone = choose(rows, INVERSE, form, 0.5, columns=SIZE)
    assert gone.shape == rows.shape
    assert int(gone.sum()) == rows.numel() // 2
    assert form.holds(~gone)


@pytest.mark.parametrize("pattern", ["unstructured", (1, 7), (4, 1)], ids=str)
def test_the_last_column_is_the_bias_and_stays(pattern):
    gone = choose(vector(4, SIZE), INVERSE, Pattern.of(pattern), 1.0, columns=SIZE - 1)
    assert gone.shape == (4, SIZE - 1)
    assert gone.all()


def test_one_row_of_a_layer_is_the_surgeon_itself():
    gone = choose(PLACE[None], INVERSE, Pattern(), 0.5, columns=SIZE)[0]
    assert sorted(run(4).order[0].tolist()) == gone.nonzero().squeeze(1).tolist()


def settled_in_turn(row, mask):
    """Column by column: what is gone is made up for by those after it, in the least squares."""
    for at in range(SIZE):
        if mask[at]:
            first = torch.zeros(SIZE - at, dtype=torch.bool)
            first[0] = True
            row = torch.cat([row[:at], constrained(HESSIAN[at:, at:], row[at:], first)[0]])
    return row


MASKS = {"leading": (0, 1, 2), "scattered": (1, 4, 6), "last": (7,), "all": tuple(range(SIZE))}


@pytest.mark.parametrize("gone", MASKS.values(), ids=MASKS)
def test_a_sweep_settles_columns_in_turn(gone):
    found = sweep(PLACE[None], factor(HESSIAN), removing(*gone)[None])[0]
    wanted = settled_in_turn(PLACE, removing(*gone))
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)


def test_a_sweep_is_least_squares_where_what_goes_comes_first():
    found = sweep(PLACE[None], factor(HESSIAN), removing(0, 1, 2)[None])[0]
    wanted = constrained(HESSIAN, PLACE, removing(0, 1, 2))[0]
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("run_of", [2, 4, 7, 128])
@pytest.mark.parametrize("pattern", ["unstructured", "2:4", (2, 1), (2, 2)], ids=str)
def test_a_swept_layer_has_the_pattern(pattern, run_of):
    form, rows = Pattern.of(pattern), vector(4, SIZE)
    left, gone = compress(rows, HESSIAN, form, 0.5, True, columns=SIZE, run=run_of)
    assert form.holds(~gone)
    assert torch.equal(left == 0, gone)
    for row, new, mask in zip(rows, left, gone, strict=True):
        torch.testing.assert_close(new, settled_in_turn(row, mask), rtol=1e-8, atol=1e-10)


def test_a_sweep_removes_what_the_loss_misses_least_and_not_what_is_small():
    """With H diagonal a weight costs h w^2 / 2, whatever else goes."""
    h = torch.tensor([9.0, 0.01, 1.0, 4.0], dtype=torch.float64)
    w = torch.tensor([[0.5, 2.0, 1.0, 0.4], [0.1, 3.0, 2.0, 1.0]], dtype=torch.float64)
    cost = h * w.square()
    found, removed = compress(w, torch.diag(h), Pattern(), 0.5, True, columns=4)
    assert torch.equal(removed, cost <= cost.flatten().sort().values[3])
    assert torch.equal(found, w.masked_fill(removed, 0))
