"""PyTorch's own optimizers: the same bits, and state that passes both ways in mid-run."""

import copy
import inspect
import io
from itertools import product

import pytest
import torch
from optim_cases import SHAPES, VALUES, gradients, innermost, settings
from torch.testing import assert_close

from thalweg.optim import OPTIMIZERS

HYPER = {
    "sgd": ("lr", "momentum", "dampening", "weight_decay", "nesterov", "maximize"),
    "adam": ("lr", "betas", "eps", "weight_decay", "amsgrad", "maximize", "decoupled_weight_decay"),
    "adamw": ("lr", "betas", "eps", "weight_decay", "amsgrad", "maximize"),
    "adagrad": ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps", "maximize"),
    "rmsprop": ("lr", "alpha", "eps", "weight_decay", "momentum", "centered", "maximize"),
    "adadelta": ("lr", "rho", "eps", "weight_decay", "maximize"),
    "adamax": ("lr", "betas", "eps", "weight_decay", "maximize"),
    "nadam": (
        *("lr", "betas", "eps", "weight_decay", "momentum_decay", "decoupled_weight_decay"),
        "maximize",
    ),
    "radam": ("lr", "betas", "eps", "weight_decay", "decoupled_weight_decay", "maximize"),
    "rprop": ("lr", "etas", "step_sizes", "maximize"),
    "asgd": ("lr", "lambd", "alpha", "t0", "weight_decay", "maximize"),
}
# Those that do not take parameters of every shape have tests of their own.
ELSEWHERE = {"sparseadam", "muon", "adafactor"}
PAIRS = {
    name: (made, getattr(torch.optim, made.__name__))
    for name, made in OPTIMIZERS.items()
    if hasattr(torch.optim, made.__name__) and name not in ELSEWHERE
}
SMALL = [shape for shape in SHAPES if torch.Size(shape).numel() < 5000]
LATE = 1  # this parameter has its first gradient two steps after the others


def parameters(shapes=SMALL, dtype=torch.float32):
    return [torch.nn.Parameter(x) for x in gradients(shapes, 1, seed=8, dtype=dtype)[0]]


def walk(optimizer, grads, start=0):
    """Steps along gradients, of which one parameter's come late."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    for step, gs in enumerate(grads, start):
        for index, (p, g) in enumerate(zip(params, gs, strict=True)):
            p.grad = None if index == LATE and step < 2 else g.clone()
        optimizer.step()
    return [p.detach().clone() for p in params]


def of_pytorch(mine, theirs):
    """The settings that PyTorch has too; conventions that it does not name are beside them."""
    return {key: value for key, value in mine.items() if key in theirs}


def assert_same_state(one, other):
    mine, theirs = one.state_dict()["state"], other.state_dict()["state"]
    assert {k: v.keys() for k, v in mine.items()} == {k: v.keys() for k, v in theirs.items()}
    assert_close(mine, theirs, rtol=0, atol=0)


def test_every_optimizer_that_pytorch_has_is_compared():
    assert set(PAIRS) == set(HYPER) == set(MID_RUN)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_every_combination_has_pytorchs_bits(name, dtype):
    ours, theirs = PAIRS[name]
    grads = gradients(SMALL, 4, dtype=dtype)
    for hyper in settings(ours.rule, HYPER[name]):
        one, other = (
            ours(parameters(dtype=dtype), **hyper),
            theirs(parameters(dtype=dtype), **hyper),
        )
        assert_close(walk(one, grads), walk(other, grads), rtol=0, atol=0, msg=str(hyper))
        assert_same_state(one, other)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("threads", [1, 2])
def test_large_parameters_have_pytorchs_bits(name, threads):
    ours, theirs = PAIRS[name]
    hyper = {"momentum": 0.9} if name == "sgd" else {}
    grads, known = gradients(SHAPES, 4, dtype=torch.float32), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        ends = [walk(made(parameters(SHAPES), **hyper), grads) for made in (ours, theirs)]
    finally:
        torch.set_num_threads(known)
    assert_close(*ends, rtol=0, atol=0)


BETAS = (torch.tensor(0.8), torch.tensor([0.9]))
MID_RUN = {
    "sgd": [{"lr": 0.1}, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}],
    "adam": [{}, {"amsgrad": True, "weight_decay": 0.1}, {"fused": True}, {"foreach": True}],
    "adamw": [
        {},
        {"amsgrad": True, "maximize": True},
        {"lr": torch.tensor([0.01])},
        {"betas": BETAS},
    ],
    "adagrad": [{"lr_decay": 0.1, "weight_decay": 0.1}, {"maximize": True, "lr": 0.1}],
    "rmsprop": [{}, {"momentum": 0.9, "centered": True, "weight_decay": 0.1}],
    "adadelta": [{}, {"foreach": True, "lr": 0.5}],
    "adamax": [{}, {"weight_decay": 0.1, "betas": (0.8, 0.9)}],
    "nadam": [{}, {"weight_decay": 0.1, "decoupled_weight_decay": True}],
    "radam": [{}, {"betas": (0.6, 0.8), "weight_decay": 0.1}],
    "rprop": [{}, {"etas": (0.3, 1.5)}],
    "asgd": [{}, {"t0": 1.0, "lambd": 0.1}],
}


def saved(state, how):
    """A state dict as it is, or through a file as safe loading gives it back."""
    if how == "file":
        buffer = io.BytesIO()
        torch.save(state, buffer)
        buffer.seek(0)
        return torch.load(buffer, weights_only=True)
    return state


@pytest.mark.parametrize(
    ("name", "hyper"), [(n, h) for n, hs in MID_RUN.items() for h in hs], ids=str
)
@pytest.mark.parametrize("way", ["to torch", "from torch", "within"])
@pytest.mark.parametrize("how", ["memory", "file"])
@pytest.mark.parametrize("at", [1, 3])
def test_a_run_continued_is_a_run_never_interrupted(name, hyper, way, how, at):
    ours, theirs = PAIRS[name]
    exact = {"rtol": 1e-6, "atol": 1e-7} if hyper.get("fused") else {"rtol": 0, "atol": 0}
    grads = gradients(SMALL, 7, dtype=torch.float32)
    first, second = {
        "to torch": (ours, theirs), "from torch": (theirs, ours), "within": (ours, ours),
    }[way]  # fmt: skip
    begun = first(parameters(), **hyper)
    middle = walk(begun, grads[:at])
    resumed = second([torch.nn.Parameter(p) for p in middle])  # the state dict brings the settings
    resumed.load_state_dict(saved(begun.state_dict(), how))
    whole = ours(parameters(), **hyper)
    assert_close(walk(resumed, grads[at:], at), walk(whole, grads), **exact)


def test_adam_becomes_adamw_by_the_state_that_it_loads():
    grads = gradients(SMALL, 6, dtype=torch.float32)
    begun = torch.optim.AdamW(parameters(), weight_decay=0.3)
    middle = walk(begun, grads[:3])
    ends = []
    for made in (PAIRS["adam"][0], torch.optim.Adam):
        resumed = made([torch.nn.Parameter(p.clone()) for p in middle])
        resumed.load_state_dict(copy.deepcopy(begun.state_dict()))
        ends.append(walk(resumed, grads[3:], 3))
    assert_close(*ends, rtol=0, atol=0)
    assert_close(ends[0], walk(begun, grads[3:], 3), rtol=0, atol=0)


def test_adamw_stays_adamw_whatever_it_loads():
    plain = torch.optim.Adam(parameters())
    mine = OPTIMIZERS["adamw"](parameters())
    mine.load_state_dict(plain.state_dict())
    assert mine.param_groups[0]["decoupled_weight_decay"] is True


@pytest.mark.parametrize("name", PAIRS)
def test_state_dicts_have_pytorchs_keys(name):
    ours, theirs = (made(parameters()) for made in PAIRS[name])
    mine, other = (o.state_dict()["param_groups"][0] for o in (ours, theirs))
    assert of_pytorch(mine, other) == other
    assert mine.keys() - other.keys() <= ours.rule.hyperparameters.keys()  # named conventions


@pytest.mark.parametrize("name", PAIRS)
def test_defaults_and_the_order_of_arguments_are_pytorchs(name):
    ours, theirs = PAIRS[name]
    known = theirs(parameters()).defaults
    assert of_pytorch(ours(parameters()).defaults, known) == known
    expected = inspect.signature(theirs).parameters.values()
    assert ours.order == tuple(x.name for x in expected if x.kind is x.POSITIONAL_OR_KEYWORD)[1:]
    tried = {**VALUES, **innermost(ours.rule).VALUES, "dampening": (0.0,)}
    tried |= {"foreach": (True,), "capturable": (False,), "differentiable": (False,)}
    placed = [tried[key][-1] for key in ours.order]
    known = theirs(parameters(), *placed).defaults
    assert of_pytorch(ours(parameters(), *placed).defaults, known) == known


@pytest.mark.parametrize("name", PAIRS)
def test_the_switches_of_pytorch_survive_a_round_trip(name):
    ours, theirs = PAIRS[name]
    switches = {"foreach": (None, False, True), "fused": (None, False)}
    switches = {k: v for k, v in switches.items() if k in theirs(parameters()).defaults}
    for values in product(*switches.values()):
        begun = theirs(parameters(), **dict(zip(switches, values, strict=True)))
        mine, back = ours(parameters()), theirs(parameters())
        mine.load_state_dict(begun.state_dict())
        back.load_state_dict(mine.state_dict())
        (got,), (known,) = (o.state_dict()["param_groups"] for o in (back, begun))
        assert of_pytorch(got, known) == known


def test_state_of_long_ago_is_read():
    mine = OPTIMIZERS["adam"](parameters())
    walk(mine, gradients(SMALL, 3, dtype=torch.float32))
    old = mine.state_dict()
    for own in old["state"].values():
        own["step"] = int(own["step"])
    for group in old["param_groups"]:
        del group["maximize"], group["capturable"], group["foreach"]
    mine.load_state_dict(old)
    walk(mine, gradients(SMALL, 1, dtype=torch.float32), 3)
    assert {float(own["step"]) for own in mine.state.values()} == {2.0, 4.0}


@pytest.mark.parametrize("name", PAIRS)
def test_double_by_default_counts_in_double(name):
    known = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        one, other = (made(parameters(dtype=torch.float64)) for made in PAIRS[name])
        for optimizer in (one, other):
            walk(optimizer, gradients(SMALL, 3))
        assert_same_state(one, other)
    finally:
        torch.set_default_dtype(known)
