"""Sparse gradients: touched rows only, as PyTorch has it, and refusals."""

import copy
import math
import warnings
import weakref

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from thalweg.optim import OPTIMIZERS, SGD, Adagrad, Adam, Engine, SparseAdam

EXACT = {"rtol": 0, "atol": 0}
ROWS, WIDTH = 12, 3
TAKING = {name: made for name, made in OPTIMIZERS.items() if made.rule.rows is not None}

# PyTorch computes s + g^2 and p - lr d with a rounding more than its dense AdaGrad does.
NEARLY = {"rtol": 1e-6, "atol": 1e-7}
CASES = [
    ("SGD", {"lr": 0.1}, EXACT),
    ("SGD", {"lr": 0.1, "maximize": True}, EXACT),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}, NEARLY),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}, NEARLY),
    ("Adagrad", {"lr": 0.1}, NEARLY),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.5}, NEARLY),
    ("SparseAdam", {"lr": 0.1}, EXACT),
    ("SparseAdam", {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3, "maximize": True}, EXACT),
]


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():  # PyTorch's own, about its own sparse tensors
        warnings.filterwarnings("ignore", "Sparse invariant checks", UserWarning)
        yield


def batches(count, repeated=False, seed=0):
    source = torch.Generator().manual_seed(seed)
    draw = lambda: torch.randperm(ROWS, generator=source)[:5]
    return [torch.cat([draw(), draw()]) if repeated else draw() for _ in range(count)]


def table(sparse=True, dtype=torch.float32):
    torch.manual_seed(0)
    return nn.Embedding(ROWS, WIDTH, sparse=sparse, dtype=dtype)


def train(layer, optimizer, seen, start=0):
    for step, rows in enumerate(seen, start):
        optimizer.zero_grad()
        (layer(rows) * (step + 1.0) ** 0.5).pow(2).sum().backward()
        optimizer.step()
    return layer.weight.detach().clone()


@pytest.mark.parametrize(("name", "hyper", "close"), CASES, ids=str)
@pytest.mark.parametrize("repeated", [False, True])
def test_results_are_pytorchs(name, hyper, close, repeated):
    ends = []
    for library in (OPTIMIZERS[name.lower()], getattr(torch.optim, name)):
        layer = table()
        ends.append(train(layer, library(layer.parameters(), **hyper), batches(6, repeated)))
    # PyTorch adds the parts of a row that occurs twice one after the other, here their sum.
    assert_close(*ends, **(NEARLY if repeated else close))


@pytest.mark.parametrize(("name", "hyper", "close"), CASES, ids=str)
@pytest.mark.parametrize("way", ["to torch", "from torch"])
def test_a_run_may_pass_from_one_library_to_the_other(name, hyper, close, way):
    if way == "to torch" and hyper.get("nesterov"):
        pytest.skip("PyTorch cannot add a dense buffer to a sparse gradient")
    if way == "to torch" and name == "SparseAdam":
        close = {"rtol": 1e-3, "atol": 2e-6}  # where a count is a tensor, it computes in float32
    ours, theirs = OPTIMIZERS[name.lower()], getattr(torch.optim, name)
    one, other = (ours, theirs) if way == "to torch" else (theirs, ours)
    layer, untouched = table(), table()
    seen = batches(6)
    first = one(layer.parameters(), **hyper)
    train(layer, first, seen[:3])
    second = other(layer.parameters(), **hyper)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    whole = train(untouched, theirs(untouched.parameters(), **hyper), seen)
    assert_close(train(layer, second, seen[3:], 3), whole, **close)


@pytest.mark.parametrize("name", TAKING)
@pytest.mark.parametrize("kind", [None, torch.float64])
def test_untouched_rows_and_their_state_stay(name, kind):
    layer = table()
    optimizer = OPTIMIZERS[name](layer.parameters(), state_dtype=kind)
    before = train(layer, optimizer, batches(3))
    state = copy.deepcopy(optimizer.state[layer.weight])
    rows = torch.tensor([2, 7])
    after = train(layer, optimizer, [rows])
    waiting = [row for row in range(ROWS) if row not in rows]
    assert_close(after[waiting], before[waiting], **EXACT)
    assert not after[rows].eq(before[rows]).any()
    for key, x in optimizer.state[layer.weight].items():
        if x.dim():
            assert_close(x[waiting], state[key][waiting], **EXACT)
            assert not x[rows].eq(state[key][rows]).all()


EXACTLY_STILL = [n for n in TAKING if n != "sparseadam"]  # which leaves rows out that would move


@pytest.mark.parametrize("name", EXACTLY_STILL)
@pytest.mark.parametrize("more", [{}, {"weight_decay": 0.1}, {"momentum": 0.9}], ids=str)
def test_sparse_and_dense_gradients_give_the_same(name, more):
    if not set(more) <= set(OPTIMIZERS[name].standard):
        pytest.skip("has no such hyperparameter")
    ends = []
    for sparse in (True, False):
        layer = table(sparse, torch.float64)
        optimizer = OPTIMIZERS[name](layer.parameters(), **more)
        ends.append(train(layer, optimizer, batches(6, repeated=True)))
    assert_close(*ends, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", EXACTLY_STILL)
def test_a_rule_that_is_run_on_rows_leaves_others_still(name):
    """What the rule declares: no gradient, no movement of parameter or state."""
    rule = OPTIMIZERS[name].rule
    hyper = rule.settings()
    assert rule.rows(hyper)
    p = nn.Parameter(torch.linspace(-1, 1, 7, dtype=torch.float64))
    p.grad = torch.linspace(1, 2, 7, dtype=torch.float64)
    state, engine = {p: {}}, Engine(rule)
    with torch.no_grad():
        engine.step([{"params": [p], **hyper}], state)
        p.grad = torch.zeros_like(p)
        before, held = p.detach().clone(), copy.deepcopy(state[p])
        engine.step([{"params": [p], **hyper}], state)
    held.pop("step", None)
    assert_close(p.detach(), before, **EXACT)
    assert_close({k: state[p][k] for k in held}, held, **EXACT)


def test_sparse_adam_with_every_row_touched_is_adam_with_eps_uncorrected():
    ends = []
    for make in (SparseAdam, Adam):
        more = {"eps_placement": "uncorrected"} if make is Adam else {}
        layer = table(make is SparseAdam, torch.float64)
        optimizer = make(layer.parameters(), lr=0.1, eps=1e-3, **more)
        ends.append(train(layer, optimizer, [torch.arange(ROWS)] * 4))
    assert_close(*ends, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", TAKING)
def test_dense_and_sparse_parameters_share_a_group(name):
    alone, both = table(), table()
    bias, twin = nn.Parameter(torch.ones(4)), nn.Parameter(torch.ones(4))
    together = OPTIMIZERS[name]([both.weight, bias])
    one, other = OPTIMIZERS[name](alone.parameters()), OPTIMIZERS[name]([twin])
    for step, rows in enumerate(batches(4)):
        bias.grad = twin.grad = torch.full((4,), step - 1.5)
        train(alone, one, [rows], step)
        other.step()
        both.weight.grad = None
        (both(rows) * (step + 1.0) ** 0.5).pow(2).sum().backward()
        together.step()
    assert_close([both.weight, bias], [alone.weight, twin], **EXACT)


@pytest.mark.parametrize("name", TAKING)
def test_gradients_may_be_sparse_now_and_dense_then(name):
    ends = []
    for kinds in ((True, False, True), (True, True, True)):
        layer = table(dtype=torch.float64)
        optimizer = OPTIMIZERS[name](layer.parameters())
        for sparse, rows in zip(kinds, [torch.arange(ROWS)] * 3, strict=True):
            layer.sparse = sparse
            train(layer, optimizer, [rows])
        ends.append(layer.weight.detach())
    assert_close(*ends, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", TAKING)
def test_the_gradient_is_left_as_it_came(name):
    layer = table()
    optimizer = OPTIMIZERS[name](layer.parameters(), maximize=True)
    layer(torch.tensor([1, 1, 4])).sum().backward()
    g = layer.weight.grad
    before = [g._indices().clone(), g._values().clone()]
    optimizer.step()
    assert layer.weight.grad is g
    assert_close([g._indices(), g._values()], before, **EXACT)
    assert {*optimizer.state} <= {layer.weight}


def test_a_batch_that_touches_nothing_moves_nothing():
    layer = table()
    optimizer = SparseAdam(layer.parameters())
    before = layer.weight.detach().clone()
    layer.weight.grad = torch.sparse_coo_tensor(
        torch.zeros(1, 0, dtype=torch.long), torch.zeros(0, WIDTH), (ROWS, WIDTH)
    )
    optimizer.step()
    assert_close(layer.weight.detach(), before, **EXACT)


def test_single_entries_may_be_sparse_too():
    p = nn.Parameter(torch.zeros(3, 4))
    optimizer = Adagrad([p], lr=1.0)
    at, values = torch.tensor([[0, 2], [1, 3]]), torch.tensor([2.0, -3.0])
    p.grad = torch.sparse_coo_tensor(at, values, (3, 4))
    optimizer.step()
    expected = torch.zeros(3, 4)
    expected[0, 1], expected[2, 3] = -1.0, 1.0
    assert_close(p.detach(), expected)


def test_16_bit_tables_are_rounded_as_told():
    layer = table(dtype=torch.bfloat16)
    optimizer = SparseAdam(layer.parameters(), rounding="kahan")
    train(layer, optimizer, batches(3))
    state = optimizer.state[layer.weight]
    assert {k: x.dtype for k, x in state.items() if x.dim()} == {
        "exp_avg": torch.bfloat16,
        "exp_avg_sq": torch.bfloat16,
        "kahan_compensation": torch.bfloat16,
    }
    assert state["kahan_compensation"].any()


def test_state_of_a_16_bit_table_may_be_kept_in_float32():
    layer = table(dtype=torch.bfloat16)
    optimizer = SparseAdam(layer.parameters(), state_dtype=torch.float32)
    train(layer, optimizer, batches(3))
    state = optimizer.state[layer.weight]
    assert state["exp_avg"].dtype == state["exp_avg_sq"].dtype == torch.float32
    assert state["exp_avg"].ne(state["exp_avg"].bfloat16()).any()


def test_a_gradient_made_dense_is_not_kept(monkeypatch):
    made, to_dense = [], torch.Tensor.to_dense

    def noted(sparse):
        dense = to_dense(sparse)
        made.append(weakref.ref(dense))
        return dense

    monkeypatch.setattr(torch.Tensor, "to_dense", noted)
    layer = table()
    optimizer = SGD(layer.parameters(), lr=0.1, weight_decay=0.1)
    train(layer, optimizer, batches(2))
    assert [memory() for memory in made] == [None, None]


def test_nan_in_a_row_is_seen():
    layer = table()
    optimizer = SGD(layer.parameters(), nonfinite="skip")
    (layer(torch.tensor([3])) * math.nan).sum().backward()
    optimizer.step()
    assert optimizer.skipped_steps == 1
    assert layer.weight.isfinite().all()


def test_a_sparse_parameter_is_refused_in_pytorchs_words():
    p = torch.eye(3).to_sparse().requires_grad_()
    for make in (SparseAdam, torch.optim.SparseAdam):
        with pytest.raises(ValueError, match="SparseAdam requires dense parameter tensors"):
            make([p])
