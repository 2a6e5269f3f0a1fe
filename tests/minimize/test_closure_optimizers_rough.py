"""Optimizers with closures where it is rough: odd parameters, ill losses, refusals, honest ends."""

import ast
import copy
import gc
import io
import pickle
import weakref
from pathlib import Path

import pytest
import torch
from closure_cases import (
    OF_PAIRS,
    VALLEYS,
    conventional,
    cross_entropy,
    method,
    rosenbrock,
    small_net,
    stepped,
)
from torch import nn
from torch.nn import functional as F

import thalweg.minimize
import thalweg.optim
from thalweg.minimize.optimizers import CLASSES
from thalweg.minimize.searches import StrongWolfe

FAMILY = ["LBFGS", "NonlinearCG", "BFGS", "NewtonCG"]


def started(seed=0):
    """A parameter at Rosenbrock's start."""
    return nn.Parameter(VALLEYS["rosenbrock"][1].clone())


# Parameters.


@pytest.mark.parametrize("name", FAMILY)
def test_groups_types_layouts_and_missing_gradients_make_one_vector(name):
    torch.manual_seed(0)
    conv = nn.Conv2d(2, 3, 3).double().to(memory_format=torch.channels_last)
    scale = nn.Parameter(torch.tensor(0.5))
    frozen = nn.Parameter(torch.ones(3), requires_grad=False)
    empty, unused = nn.Parameter(torch.zeros(0, 2)), nn.Parameter(torch.ones(2))
    images = torch.randn(4, 2, 5, 5, dtype=torch.float64)
    groups = [{"params": list(conv.parameters())}, {"params": [scale, frozen, empty, unused]}]
    optimizer = CLASSES[name](groups, line_search_fn="strong-wolfe", max_iter=6)

    def compute():
        out = conv(images.contiguous(memory_format=torch.channels_last)) * scale * frozen.sum()
        return ((out - 1) ** 2).mean() + empty.sum()

    first = float(optimizer.step(conventional(optimizer, compute)))
    assert optimizer.loss_after < 0.9 * first
    assert conv.weight.is_contiguous(memory_format=torch.channels_last)
    assert conv.weight.grad is not None
    assert [p.grad for p in (frozen, unused)] == [None, None]
    assert torch.equal(unused, torch.ones(2))
    assert torch.equal(frozen, torch.ones(3))
    assert scale.dtype == torch.float32


def test_a_parameter_that_thaws_begins_anew_and_moves():
    x, y = started(), nn.Parameter(torch.tensor([2.0], dtype=torch.float64), requires_grad=False)
    optimizer = CLASSES["LBFGS"]([x, y], line_search_fn="strong-wolfe", max_iter=30)
    closure = conventional(optimizer, lambda: rosenbrock(x) + (y**2).sum())
    optimizer.step(closure)
    assert y.item() == 2
    y.requires_grad_(True)
    stepped(optimizer, closure, 3)
    assert optimizer.status == "converged"
    assert abs(y.item()) < 1e-5


def test_a_group_added_in_mid_run_is_trained_with_the_others():
    x, y = started(), nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    optimizer = CLASSES["BFGS"]([x], max_iter=5)
    closure = conventional(optimizer, lambda: rosenbrock(x) + (y**2).sum())
    optimizer.step(closure)
    optimizer.add_param_group({"params": [y]})
    stepped(optimizer, closure, 10)
    assert abs(y.item()) < 1e-5


# Ill losses.


@pytest.mark.parametrize("search", ["strong-wolfe", "hager-zhang", "backtracking", None])
def test_a_loss_that_is_no_number_at_a_trial_point_ends_no_run(search):
    # -(log p + 3 log(1 - p)) has its minimum at 1/4 and is NaN beyond 1, where its gradient is not
    p = nn.Parameter(torch.tensor([0.5], dtype=torch.float64))
    optimizer = CLASSES["LBFGS"]([p], lr=1.0 if search is None else 100.0, line_search_fn=search)
    closure = conventional(optimizer, lambda: -(p.log() + 3 * (1 - p).log()).sum())
    stepped(optimizer, closure, 3)
    assert abs(p.item() - 0.25) < 1e-6


def test_the_best_point_is_kept_where_nothing_else_is_finite():
    x, calls = nn.Parameter(torch.tensor([1.0], dtype=torch.float64)), []

    def compute():
        calls.append(x.item())
        return (x * 3).sum() * (1 if len(calls) == 1 else torch.nan)

    optimizer = CLASSES["LBFGS"]([x], line_search_fn="strong-wolfe", max_eval=100)
    assert float(optimizer.step(conventional(optimizer, compute))) == 3
    assert x.item() == 1
    assert optimizer.status == "not finite"
    assert x.grad.item() == 3


@pytest.mark.parametrize("name", FAMILY)
def test_a_start_that_is_no_number_changes_nothing(name):
    x = started()
    optimizer = CLASSES[name]([x])
    assert torch.isnan(optimizer.step(conventional(optimizer, lambda: rosenbrock(x) * torch.nan)))
    assert torch.equal(x, VALLEYS["rosenbrock"][1])
    assert optimizer.status == "not finite"
    optimizer.step(conventional(optimizer, lambda: rosenbrock(x)))
    assert optimizer.loss_after < 24.2


def test_an_error_in_the_closure_leaves_the_parameters_where_the_step_began():
    x, calls = started(), []

    def closure():
        calls.append(x.detach().clone())
        if len(calls) == 4:
            raise KeyError("data")
        return rosenbrock(x)

    optimizer = CLASSES["LBFGS"]([x], line_search_fn="strong-wolfe")
    with pytest.raises(KeyError, match="data"):
        optimizer.step(closure)
    assert torch.equal(x, calls[0])
    assert not torch.equal(calls[-1], calls[0])
    optimizer.step(closure)
    assert optimizer.loss_after < 24.2


class Telling(torch.autograd.Function):
    """x, with an object that lives as long as the graph does."""

    @staticmethod
    def forward(ctx, x, told):
        ctx.told = told
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


def test_an_error_in_the_closure_lets_go_of_the_graph():
    x, graphs = started(), []

    def closure():
        if len(graphs) == 2:  # the first trial, after the start and the Hessian's own call
            raise KeyError("data")
        told = nn.Identity()
        graphs.append(weakref.ref(told))
        return rosenbrock(Telling.apply(x, told))

    optimizer = CLASSES["NewtonCG"]([x])
    with pytest.raises(KeyError, match="data"):
        optimizer.step(closure)
    gc.collect()
    assert [graph() for graph in graphs] == [None] * 2
    assert optimizer.counts.matrices == 1


# Mixed precision.


def test_closures_under_autocast_go_down():
    model, inputs, targets = small_net()
    model, inputs = model.float(), inputs.float()
    optimizer = CLASSES["LBFGS"](model.parameters(), line_search_fn="strong-wolfe")

    def compute():
        with torch.autocast("cpu", torch.bfloat16):
            return cross_entropy(model, inputs, targets).float()

    closure = conventional(optimizer, compute)
    first = float(optimizer.step(closure))
    stepped(optimizer, closure, 4)
    assert optimizer.loss_after < first / 2
    assert all(p.dtype == torch.float32 for p in model.parameters())


@pytest.mark.parametrize("name", ["LBFGS", "NonlinearCG", "NewtonCG"])
def test_a_gradient_scaler_s_gradients_are_refused(name):
    model, inputs, targets = small_net()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    optimizer = CLASSES[name](model.parameters(), line_search_fn="strong-wolfe")
    start = [p.detach().clone() for p in model.parameters()]

    def closure():
        optimizer.zero_grad()
        loss = cross_entropy(model, inputs, targets)
        scaler.scale(loss).backward()
        return loss

    for _ in range(2):
        with pytest.raises(ValueError, match=r"GradScaler, divide each p\.grad by its scale"):
            optimizer.step(closure)
        assert all(map(torch.equal, model.parameters(), start))
    with pytest.raises(RuntimeError, match="Closure use is not currently supported"):
        scaler.step(optimizer, closure=closure)


def test_a_closure_that_divides_by_the_scale_works():
    model, inputs, targets = small_net()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    optimizer = CLASSES["LBFGS"](model.parameters(), line_search_fn="strong-wolfe")

    def closure():
        optimizer.zero_grad()
        loss = cross_entropy(model, inputs, targets)
        scaler.scale(loss).backward()
        for p in model.parameters():
            p.grad /= scaler.get_scale()
        return loss

    first = float(optimizer.step(closure))
    assert optimizer.loss_after < first / 2


# Honest endings.


def saddle(x):
    """x^2 - y^2 + y^4 / 4: a saddle at 0, minima of -1 at (0, +-sqrt 2)."""
    return x[0] ** 2 - x[1] ** 2 + x[1] ** 4 / 4


@pytest.mark.parametrize("name", ["LBFGS", "NewtonCG", "SaddleFreeNewton", "BFGS"])
def test_no_saddle_passes_for_a_minimum(name):
    x = nn.Parameter(torch.tensor([1.0, 0.0], dtype=torch.float64))  # on its stable manifold
    optimizer = CLASSES[name]([x], max_iter=40, line_search_fn="strong-wolfe", certify=True)
    stepped(optimizer, conventional(optimizer, lambda: saddle(x)), 3)
    assert optimizer.status == "converged"
    assert abs(optimizer.loss_after + 1) < 1e-9


def test_who_did_not_ask_for_the_curvature_is_told():
    x = nn.Parameter(torch.tensor([1.0, 0.0], dtype=torch.float64))
    optimizer = CLASSES["LBFGS"]([x], line_search_fn="strong-wolfe")
    stepped(optimizer, lambda: saddle(x), 2)
    assert "curvature was not asked" in optimizer.why


def test_limits_end_a_step():
    x = started()
    optimizer = CLASSES["LBFGS"]([x], max_iter=3, line_search_fn="strong-wolfe")
    closure = conventional(optimizer, lambda: rosenbrock(x))
    optimizer.step(closure)
    assert optimizer.status == "out of budget"
    assert "iterations" in optimizer.why
    assert optimizer.counts.steps == 3
    short = CLASSES["LBFGS"]([x], max_iter=30, max_eval=4, line_search_fn="strong-wolfe")
    short.step(closure)
    assert short.counts.losses == 4
    assert "evaluations" in short.why
    change = CLASSES["LBFGS"]([x], tolerance_change=0.5, line_search_fn="strong-wolfe")
    change.step(closure)
    assert change.status == "stalled"


def test_before_a_step_there_is_nothing_to_tell():
    optimizer = CLASSES["LBFGS"]([started()])
    assert (optimizer.loss_before, optimizer.loss_after) == (None, None)
    assert optimizer.why == "no step was taken yet"
    assert optimizer.counts.losses == 0


# State.


def through_a_file(state):
    """The state as a checkpoint gives it back."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


CARRIED = {
    "LBFGS": {"line_search_fn": "strong_wolfe", "tolerance_grad": 0.02},
    "BFGS": {"line_search_fn": "hager-zhang"},
    "NonlinearCG": {},
    "LSR1": {"line_search_fn": "trust-region"},
    "SteepestDescent": {"line_search_fn": "stochastic-armijo"},
    "NewtonMINRES": {},
    "CoordinateDescent": {"order": "random"},
    "SaddleFreeNewton": {"dimension": 2},
}


@pytest.mark.parametrize("name", CARRIED)
def test_a_run_resumes_to_the_same_digits(name):
    x = started()
    optimizer = CLASSES[name]([x], max_iter=4, **CARRIED[name])
    closure = conventional(optimizer, lambda: rosenbrock(x))
    stepped(optimizer, closure, 2)
    there, saved = x.detach().clone(), optimizer.state_dict()
    kept = copy.deepcopy(saved)
    expected = stepped(optimizer, closure, 3)
    assert same_state(saved, kept), "a saved state is a copy"
    twin = nn.Parameter(there)
    other = CLASSES[name]([twin], max_iter=4, **CARRIED[name])
    other.load_state_dict(through_a_file(saved))
    found = stepped(other, conventional(other, lambda: rosenbrock(twin)), 3)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(found, expected, strict=True))
    assert other.counts == optimizer.counts


@pytest.mark.parametrize("name", OF_PAIRS)
def test_a_run_of_pairs_resumes_to_the_same_digits(name):
    model, inputs, targets = small_net()
    optimizer = method(name, model.parameters(), loss=F.cross_entropy)
    stepped(optimizer, lambda: (model(inputs), targets), 2)
    twin, saved = copy.deepcopy(model), optimizer.state_dict()
    other = method(name, twin.parameters(), loss=F.cross_entropy)
    other.load_state_dict(through_a_file(saved))
    expected = stepped(optimizer, lambda: (model(inputs), targets), 2)
    found = stepped(other, lambda: (twin(inputs), targets), 2)
    for ours, theirs in zip(found[-1], expected[-1], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def same_state(one, other):
    """Whether two states are equal, bit for bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same_state(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same_state, one, other))
    return one == other


def test_what_a_search_object_is_stays_out_of_the_file():
    x = started()
    optimizer = CLASSES["LBFGS"]([x], line_search_fn=StrongWolfe(curvature=0.1))
    optimizer.step(lambda: rosenbrock(x))
    through_a_file(optimizer.state_dict())
    assert "StrongWolfe(decrease=0.0001, curvature=0.1" in repr(optimizer)
    for twin in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        y = twin.param_groups[0]["params"][0]
        twin.step(lambda y=y: rosenbrock(y))
    optimizer.step(lambda: rosenbrock(x))
    assert torch.equal(x, y)
    assert (twin.status, twin.counts) == (optimizer.status, optimizer.counts)


# Refusals.

NET = small_net()[0]
REFUSALS = {
    "no closure": (lambda: CLASSES["LBFGS"]([started()]).step(), TypeError, "Give it a closure"),
    "nothing returned": (
        lambda: CLASSES["LBFGS"]([started()]).step(lambda: None),
        TypeError,
        "returned a NoneType; return the loss",
    ),
    "a vector": (
        lambda: CLASSES["LBFGS"]([started()]).step(lambda: torch.ones(3)),
        ValueError,
        r"tensor of shape \(3,\)",
    ),
    "no pair": (
        lambda: CLASSES["GaussNewton"]([started()], loss=F.mse_loss).step(lambda: None),
        TypeError,
        r"return \(model\(inputs\), targets\)",
    ),
    "no loss": (lambda: CLASSES["GaussNewton"]([started()]), TypeError, "Give .*loss=..."),
    "no graph": (
        lambda: without_graph(started()),
        ValueError,
        "a loss without its graph",
    ),
    "16 bits": (
        lambda: CLASSES["LBFGS"](NET.bfloat16().parameters()),
        ValueError,
        "torch.bfloat16.*torch.autocast",
    ),
    "unknown": (lambda: CLASSES["LBFGS"]([started()], memory=3), TypeError, "no such argument"),
    "twice": (lambda: CLASSES["LBFGS"]([started()], 1.0, lr=1.0), TypeError, "by position and by"),
    "lr": (lambda: CLASSES["LBFGS"]([started()], lr=-1.0), ValueError, "invalid learning rate"),
    "max_iter": (lambda: CLASSES["LBFGS"]([started()], max_iter=0), ValueError, "at least 1"),
    "tolerance": (
        lambda: CLASSES["LBFGS"]([started()], tolerance_grad=-1.0),
        ValueError,
        "from 0 to below 1",
    ),
    "own setting": (lambda: CLASSES["LBFGS"]([started()], history_size=0), ValueError, "memory=0"),
    "search": (
        lambda: CLASSES["LBFGS"]([started()], line_search_fn="strong_wolf"),
        ValueError,
        "did you mean 'strong-wolfe'",
    ),
    "lr of a group": (
        lambda: CLASSES["LBFGS"]([{"params": [started()]}, {"params": [started()], "lr": 0.5}]),
        ValueError,
        "give every group the same lr",
    ),
    "another's state": (
        lambda: CLASSES["BFGS"]([started()]).load_state_dict(saved_by("LBFGS")),
        ValueError,
        "not one of BFGS",
    ),
    "PyTorch's state": (
        lambda: CLASSES["LBFGS"]([started()]).load_state_dict(saved_by(torch.optim.LBFGS)),
        ValueError,
        "not one of LBFGS",
    ),
    "state of other sizes": (
        lambda: CLASSES["LBFGS"]([nn.Parameter(torch.zeros(3))]).load_state_dict(saved_by("LBFGS")),
        ValueError,
        r"parameters of \[2\] numbers",
    ),
}


def without_graph(x):
    """A step of second order with a closure that returns a number."""
    optimizer = CLASSES["NewtonCG"]([x])

    def closure():
        (x.grad,) = torch.autograd.grad(rosenbrock(x), x)
        return rosenbrock(x).item()

    optimizer.step(closure)


def saved_by(name):
    """A state after a step."""
    x = started()
    optimizer = (CLASSES[name] if isinstance(name, str) else name)([x])
    optimizer.step(conventional(optimizer, lambda: rosenbrock(x)))
    return optimizer.state_dict()


@pytest.mark.parametrize("case", REFUSALS)
def test_it_says_what_is_wrong(case):
    call, kind, words = REFUSALS[case]
    with pytest.raises(kind, match=words):
        call()


def test_names_in_another_order_are_refused():
    x, y = started(), started()
    optimizer = CLASSES["LBFGS"]([("x", x), ("y", y)])
    optimizer.step(lambda: rosenbrock(x) + rosenbrock(y))
    with pytest.raises(ValueError, match="not in the order"):
        CLASSES["LBFGS"]([("y", y), ("x", x)]).load_state_dict(optimizer.state_dict())


# Names.


def test_the_classes_are_found_in_both_places():
    for name, cls in CLASSES.items():
        assert getattr(thalweg.minimize, name) is cls
        assert cls.__doc__
        if name != "CoordinateDescent":  # a rule has that name there
            assert getattr(thalweg.optim, name) is cls
            assert name in dir(thalweg.optim)
    assert {*thalweg.optim.METHODS, "CoordinateDescent"} == CLASSES.keys()
    with pytest.raises(AttributeError, match="no attribute 'LBFG'"):
        _ = thalweg.optim.LBFG


def test_rules_do_not_load_methods():
    for path in Path(thalweg.optim.__file__).parent.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                assert "minimize" not in ast.unparse(node), path


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU beside the CPU")
@pytest.mark.parametrize("name", ["LBFGS", "NewtonCG", "BFGS"])
def test_parameters_of_two_devices_go_where_those_of_one_go(name):
    ends = []
    for device in ("cpu", "cuda"):
        x = nn.Parameter(torch.tensor([-1.2], dtype=torch.float64))
        y = nn.Parameter(torch.tensor([1.0], dtype=torch.float64, device=device))
        optimizer = CLASSES[name]([x, y], max_iter=10, line_search_fn="strong-wolfe")

        def compute(x=x, y=y):
            return ((1 - x) ** 2 + 100 * (y.to(x.device) - x**2) ** 2).sum()

        stepped(optimizer, conventional(optimizer, compute), 2)
        twin = CLASSES[name]([x, y], max_iter=10, line_search_fn="strong-wolfe")
        twin.load_state_dict(through_a_file(optimizer.state_dict()))
        stepped(twin, conventional(twin, compute), 2)
        ends.append(torch.cat([x.detach(), y.detach().cpu()]))
    torch.testing.assert_close(ends[1], ends[0], rtol=1e-9, atol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_step_on_a_gpu_draws_the_same_masks_throughout():
    model, inputs, targets = small_net()
    model = nn.Sequential(model[0], nn.Dropout(0.5), *model[1:]).cuda()
    optimizer, masks = CLASSES["LBFGS"](model.parameters(), line_search_fn="strong-wolfe"), []
    model[1].register_forward_hook(lambda m, given, out: masks.append(out == 0))
    optimizer.step(lambda: cross_entropy(model, inputs.cuda(), targets.cuda()))
    assert len(masks) > 2
    assert all(torch.equal(mask, masks[0]) for mask in masks)
