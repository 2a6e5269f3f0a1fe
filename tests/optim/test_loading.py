"""Loading saved state: types kept, by name where there are names, older states, clear refusals."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from thalweg.optim import OPTIMIZERS, SGD, Adam, Engine, RuleOptimizer, optimizer_class, rule, slot

EXACT = {"rtol": 0, "atol": 0}
every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)
SHAPES = {"weight": (4, 3), "bias": (4, 1), "gain": (4, 3)}  # matrices, which every rule takes


def parameters(order=SHAPES, dtype=torch.float32):
    """Named parameters, each with numbers of its own, whatever the order."""
    values = {n: torch.linspace(-1, at + 1, 12)[: torch.Size(s).numel()].view(s)
              for at, (n, s) in enumerate(SHAPES.items())}  # fmt: skip
    return [(n, nn.Parameter(values[n].to(dtype))) for n in order]


def run(optimizer, named, steps=3, start=0):
    for step in range(start, start + steps):
        for at, n in enumerate(SHAPES):
            p = dict(named)[n]
            p.grad = torch.sin(torch.arange(p.numel()) + 3.0 * at + step).view(p.shape).to(p)
        optimizer.step()
    return {n: p.detach().clone() for n, p in named}


@every_optimizer
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_state_keeps_the_type_that_it_was_saved_in(name, dtype):
    saved_from = parameters(dtype=dtype)
    first = OPTIMIZERS[name](saved_from, state_dtype=torch.float32)
    run(first, saved_from)
    saved = copy.deepcopy(first.state_dict())
    second = OPTIMIZERS[name](parameters(dtype=dtype), state_dtype=torch.float32)
    second.load_state_dict(saved)
    assert_close(second.state_dict()["state"], saved["state"], **EXACT)


@every_optimizer
def test_float32_state_with_16_bit_parameters_steps_on(name):
    saved_from = parameters(dtype=torch.bfloat16)
    first = OPTIMIZERS[name](saved_from, state_dtype=torch.float32)
    middle = run(first, saved_from)
    onward = [(n, nn.Parameter(x)) for n, x in middle.items()]
    second = OPTIMIZERS[name](onward)  # which would itself have kept bfloat16
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert_close(run(second, onward, 2, 3), run(first, saved_from, 2, 3), **EXACT)


@rule("pointwise")
def counting(p, g, seen=slot("seen", lambda p: torch.zeros((), dtype=torch.float64), scalar=True),
             *, lr=0.1):  # fmt: skip
    """A step with a scalar of a wider type than the parameter's."""
    return p - lr * g, seen + 1 / 3


def test_scalars_keep_their_type_too():
    made = optimizer_class("Counting", counting)
    named = parameters(dtype=torch.bfloat16)
    first, second = made(named), made(parameters(dtype=torch.bfloat16))
    run(first, named)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    seen = second.state[second.param_groups[0]["params"][0]]["seen"]
    assert seen.dtype == torch.float64
    assert float(seen) == pytest.approx(1.0, abs=1e-15)


@every_optimizer
@pytest.mark.parametrize("order", [("gain", "bias", "weight"), ("bias", "weight", "gain")])
def test_named_parameters_may_come_in_another_order(name, order):
    there, here = parameters(), parameters(order)
    first, second = OPTIMIZERS[name](there), OPTIMIZERS[name](here)
    middle = run(first, there)
    with torch.no_grad():
        for n, p in here:
            p.copy_(middle[n])
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert second.param_groups[0]["param_names"] == list(order)
    if name != "coordinatedescent":  # which goes through the parameters in their order
        assert_close(run(second, here, 2, 3), run(first, there, 2, 3), **EXACT)


def test_named_parameters_may_come_in_other_groups():
    there, here = parameters(), parameters()
    first = Adam([{"params": there[:1], "lr": 0.1}, {"params": there[1:], "lr": 0.2}])
    second = Adam([{"params": here[1:]}, {"params": here[:1]}])
    run(first, there)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for (_, p), (_, q) in zip(there, here, strict=True):
        assert_close(second.state[q], first.state[p], **EXACT)
    assert [group["lr"] for group in second.param_groups] == [0.1, 0.2]  # settings by position


def test_pytorchs_named_state_is_taken_by_name_too():
    there, here = parameters(), parameters(("gain", "weight", "bias"))
    first, second = torch.optim.Adam(there), Adam(here)
    run(first, there)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for n, p in there:
        assert_close(second.state[dict(here)[n]], first.state[p], **EXACT)


def test_other_names_are_refused_and_listed():
    there = parameters()
    first = Adam(there)
    run(first, there)
    second = Adam([("weight", there[0][1]), ("scale", there[2][1]), ("bias", there[1][1])])
    words = r"Adam.load_state_dict.*saved state lacks 'scale' and the optimizer lacks 'gain'"
    with pytest.raises(ValueError, match=words):
        second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert not second.state


def test_shapes_that_do_not_fit_are_refused_before_anything_changes():
    there, here = parameters(), parameters(("bias", "weight", "gain"))
    first, second = Adam([p for _, p in there], lr=0.5), Adam([p for _, p in here])
    run(first, there)
    words = r"exp_avg of parameter 0 of group 0 has shape \(4, 3\), and the parameter \(4, 1\)"
    with pytest.raises(ValueError, match=words):
        second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert not second.state
    assert second.param_groups[0]["lr"] == 1e-3


@pytest.mark.parametrize("groups", [1, 2])
def test_group_mismatches_are_refused_in_pytorchs_words(groups):
    named = [p for _, p in parameters()]
    saved = Adam(named).state_dict()
    split = [{"params": named[:1]}, {"params": named[1:]}]
    second = Adam(named[:2] if groups == 1 else split)
    said = {1: "doesn't match the size of optimizer's group", 2: "different number of parameter"}
    with pytest.raises(ValueError, match=said[groups]):
        second.load_state_dict(saved)


def test_users_hooks_may_change_what_is_loaded_and_see_the_result():
    there, here = parameters(), parameters()
    first, second, seen = Adam(there), Adam(here), []
    run(first, there)

    def rename(optimizer, state_dict):
        groups = copy.deepcopy(state_dict["param_groups"])
        groups[0]["param_names"] = [n.removeprefix("model.") for n in groups[0]["param_names"]]
        return {**state_dict, "param_groups": groups}

    saved = first.state_dict()
    saved["param_groups"][0]["param_names"] = ["model." + n for n in SHAPES]
    second.register_load_state_dict_pre_hook(rename)
    second.register_load_state_dict_post_hook(lambda o: seen.append(len(o.state)))
    second.load_state_dict(saved)
    second.load_state_dict(saved)  # our own hooks have gone
    assert seen == [3, 3]
    assert second.param_groups[0]["param_names"] == list(SHAPES)
    assert len(second._optimizer_load_state_dict_pre_hooks) == 1


@every_optimizer
def test_a_state_from_before_a_setting_existed_is_completed(name):
    named = parameters()
    first = OPTIMIZERS[name](named)
    run(first, named)
    old = copy.deepcopy(first.state_dict())
    for key in ("maximize", "foreach", "differentiable", "fused"):
        old["param_groups"][0].pop(key, None)
    for own in old["state"].values():
        if "step" in own:
            own["step"] = int(own["step"])  # a number, as PyTorch kept it before 1.12
    middle = [(n, nn.Parameter(p.detach().clone())) for n, p in named]
    second = OPTIMIZERS[name](middle)
    second.load_state_dict(old)
    assert_close(run(second, middle, 2, 3), run(first, named, 2, 3), **EXACT)


@every_optimizer
def test_a_state_dict_refers_to_the_live_state_as_pytorchs_does(name):
    named = parameters()
    optimizer = OPTIMIZERS[name](named)
    run(optimizer, named)
    for key, own in optimizer.state_dict()["state"].items():
        p = optimizer.param_groups[0]["params"][key]
        assert all(own[n] is x for n, x in optimizer.state[p].items())


@pytest.mark.skipif(
    not hasattr(torch.optim, "swap_in_optimizer_params_and_state"), reason="came with PyTorch 2.13"
)
@every_optimizer
def test_parameters_and_state_may_be_swapped_in_for_a_while(name):
    made = OPTIMIZERS[name]
    more = {"momentum": 0.9} if "momentum" in made.standard else {}  # PyTorch wants some state
    named, other = parameters(), parameters()
    optimizer, twin = made(named, **more), made(other, **more)
    run(optimizer, named)
    run(twin, other, 2)
    own = copy.deepcopy([[p for _, p in named], optimizer.state_dict()["state"]])
    lent = [(n, nn.Parameter(p.detach().clone())) for n, p in other]
    state = copy.deepcopy(twin.state_dict())
    with torch.optim.swap_in_optimizer_params_and_state(optimizer, dict(lent), state):
        inside = run(optimizer, lent, 2, 2)
    assert_close(inside, run(twin, other, 2, 2), **EXACT)
    assert_close([[p for _, p in named], optimizer.state_dict()["state"]], own, **EXACT)
    untouched = parameters()
    again = made(untouched, **more)
    run(again, untouched)
    assert_close(run(optimizer, named, 1, 3), run(again, untouched, 1, 3), **EXACT)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_options_go_with_copies(copied):
    named = parameters(dtype=torch.bfloat16)
    optimizer = SGD(named, momentum=0.9, rounding="kahan", nonfinite="skip", rounding_seed=3)
    run(optimizer, named)
    twin = copied(optimizer)
    assert twin.options == optimizer.options
    assert isinstance(twin, RuleOptimizer)
    assert isinstance(twin.engine, Engine)
    again = list(zip(SHAPES, twin.param_groups[0]["params"], strict=True))
    assert_close(run(twin, again), run(optimizer, named), **EXACT)
