"""Averages of the iterates: what they are, that they resume, and evaluating at them."""

import copy
import math

import pytest
import torch
from optim_cases import gradients
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn
from torch.testing import assert_close

from thalweg.optim import (
    SGD,
    Adam,
    AdamWScheduleFree,
    AveragedSGD,
    ExponentialAverage,
    GradientAccumulation,
    PolyakAverage,
    SGDScheduleFree,
    StochasticWeightAverage,
    averaged,
)

OPTIMIZERS = {"ours": Adam, "PyTorch's": torch.optim.Adam, "descent": torch.optim.SGD}
every_optimizer = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
EXACT = {"rtol": 0, "atol": 0}
NEAR = {"rtol": 1e-12, "atol": 1e-14}
SHAPES = [(3, 4), (5,), ()]


def walk(optimizer, steps, seed=0, after_step=lambda: None):
    """Steps along drawn gradients; the iterates, one list of parameters a step."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    path = []
    for gs in gradients([p.shape for p in params], steps, seed):
        for p, g in zip(params, gs, strict=True):
            p.grad = g.to(p.dtype)
        optimizer.step()
        after_step()
        path.append([p.detach().clone() for p in params])
    return path


def parameters(dtype=torch.float64):
    return [nn.Parameter(x.to(dtype)) for x in gradients(SHAPES, 1, seed=4)[0]]


def values(average):
    return [value for _, value in average.averages()]


def mean(path):
    return [torch.stack(column).mean(0) for column in zip(*path, strict=True)]


@every_optimizer
@pytest.mark.parametrize("start", [1, 7, 20])
def test_polyaks_average_is_the_mean_from_a_chosen_step_on(make, start):
    optimizer = make(parameters(), lr=0.1)
    average = PolyakAverage(optimizer, start)
    path = walk(optimizer, 20)
    assert_close(values(average), mean(path[start - 1 :]), **NEAR)


def test_there_is_no_average_before_its_first_step():
    optimizer = SGD(parameters(), lr=0.1)
    average = PolyakAverage(optimizer, 3)
    walk(optimizer, 2)
    assert average.averages() == []


@every_optimizer
def test_stochastic_weight_averaging_takes_one_iterate_in_so_many(make):
    optimizer = make(parameters(), lr=0.1)
    average = StochasticWeightAverage(optimizer, start=4, every=3)
    path = walk(optimizer, 15)
    assert_close(values(average), mean(path[3::3]), **NEAR)


def decays(beginning, decay, n):
    """What the n-th iterate's average keeps of the one before, by each convention's formula."""
    if beginning == "warm-up":
        updates = n - 1
        return min(decay, (1 + updates) / (10 + updates))
    return decay


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("beginning", ["first", "warm-up", "corrected"])
def test_the_exponential_average_forgets(beginning, decay):
    optimizer = Adam(parameters(), lr=0.1)
    average = ExponentialAverage(optimizer, decay, beginning=beginning)
    path = walk(optimizer, 60)
    if beginning == "corrected":  # Kingma & Ba: from zero, then divided by 1 - decay^n
        weights = [(1 - decay) * decay ** (60 - n) / (1 - decay**60) for n in range(1, 61)]
    else:
        weights = [1.0]
        for n in range(2, 61):
            kept = decays(beginning, decay, n)
            weights = [kept * w for w in weights] + [1 - kept]
    assert math.isclose(sum(weights), 1)
    columns = zip(*path, strict=True)
    expected = [sum(w * x for w, x in zip(weights, xs, strict=True)) for xs in columns]
    assert_close(values(average), expected, **NEAR)


def test_averages_are_pytorchs():
    net = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    theirs = AveragedModel(net), AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    ours = PolyakAverage(optimizer), ExponentialAverage(optimizer, 0.9)
    walk(optimizer, 10, after_step=lambda: [each.update_parameters(net) for each in theirs])
    for mine, other in zip(ours, theirs, strict=True):
        assert_close(values(mine), [p.detach() for p in other.parameters()], rtol=1e-6, atol=1e-7)


def test_an_average_follows_no_more_once_it_is_detached():
    optimizer = SGD(parameters(), lr=0.1)
    average = PolyakAverage(optimizer)
    walk(optimizer, 3)
    average.detach()
    before = [v.clone() for v in values(average)]
    walk(optimizer, 3)
    assert_close(values(average), before, **EXACT)


def test_a_parameter_that_comes_late_is_averaged_from_then_on():
    optimizer = SGD(parameters(), lr=0.1)
    average = PolyakAverage(optimizer)
    walk(optimizer, 4)
    late = nn.Parameter(torch.zeros(2, dtype=torch.float64))
    optimizer.add_param_group({"params": [late]})
    path = walk(optimizer, 5)
    assert_close(values(average)[-1], mean(path)[-1], **NEAR)


def test_averages_of_half_precision_lose_no_small_weights():
    p = nn.Parameter(torch.ones(1, dtype=torch.bfloat16))
    optimizer = torch.optim.SGD([p], lr=1.0)
    average = ExponentialAverage(optimizer, 0.999)
    p.grad = torch.zeros_like(p)
    optimizer.step()
    p.data.fill_(2.0)
    for _ in range(100):
        optimizer.step()
    assert_close(values(average)[0].item(), 2 - 0.999**100, rtol=1e-4, atol=0)
    with averaged(average):
        assert p.dtype == torch.bfloat16
        assert p.item() == torch.tensor(2 - 0.999**100).bfloat16().item()
    assert p.item() == 2.0


@pytest.mark.parametrize(
    "make",
    [
        PolyakAverage,
        lambda o: StochasticWeightAverage(o, 2, 3),
        lambda o: ExponentialAverage(o, 0.9, beginning="corrected"),
    ],
    ids=["Polyak's", "stochastic", "exponential"],
)
def test_a_resumed_average_is_the_one_never_interrupted(make, tmp_path):
    whole, first = (SGD(parameters(), lr=0.1) for _ in range(2))
    one, two = make(whole), make(first)
    walk(whole, 7)
    walk(whole, 6, seed=1)
    walk(first, 7)
    torch.save((first.state_dict(), two.state_dict()), tmp_path / "state.pt")
    at = [nn.Parameter(p.detach().clone()) for p in first.param_groups[0]["params"]]
    walk(first, 1)  # what was saved is no view
    second = SGD(at, lr=0.1)
    three = make(second)
    inner, state = torch.load(tmp_path / "state.pt", weights_only=True)
    second.load_state_dict(inner)
    three.load_state_dict(state)
    walk(second, 6, seed=1)
    assert_close(values(three), values(one), **EXACT)
    assert three.state_dict()["counts"] == one.state_dict()["counts"]


def test_a_loaded_average_does_not_share_memory_with_what_was_saved():
    optimizer = SGD(parameters(), lr=0.1)
    average = PolyakAverage(optimizer)
    walk(optimizer, 2)
    state = copy.deepcopy(average.state_dict())
    average.load_state_dict(state)
    kept = [v.clone() for v in state["values"].values()]
    walk(optimizer, 2)
    assert_close([*state["values"].values()], kept, **EXACT)


def test_an_average_of_other_parameters_is_refused():
    optimizer = SGD(parameters(), lr=0.1)
    average = PolyakAverage(optimizer)
    walk(optimizer, 1)
    other = PolyakAverage(SGD([nn.Parameter(torch.zeros(9))]))
    with pytest.raises(
        ValueError, match=r"PolyakAverage.load_state_dict: no tensor at place 0 has"
    ):
        other.load_state_dict(average.state_dict())
    assert other.steps == 0


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda o: PolyakAverage(o, 0), r"PolyakAverage\(start=0, every=1\): both count"),
        (lambda o: StochasticWeightAverage(o, 1, 0), r"StochasticWeightAverage\(start=1, every=0"),
        (lambda o: ExponentialAverage(o, 1.0), r"decay=1.0\): the decay must be in \[0, 1\)"),
        (lambda o: ExponentialAverage(o, beginning="warm"), r"no such beginning. Did you mean 'wa"),
    ],
)
def test_settings_out_of_range_are_refused_before_anything_is_hooked(make, message):
    optimizer = SGD(parameters())
    with pytest.raises(ValueError, match=message):
        make(optimizer)
    assert not optimizer._optimizer_step_post_hooks


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 1)).double()


def train(net, optimizer, steps=6):
    source = torch.Generator().manual_seed(3)
    for _ in range(steps):
        optimizer.zero_grad()
        net(torch.randn(8, 4, generator=source, dtype=torch.float64)).square().mean().backward()
        optimizer.step()


def everything(net):
    """All that a block may not change, bit for bit."""
    tensors = {name: x.clone() for name, x in net.state_dict().items()}
    modes = [(m.training, getattr(m, "momentum", None)) for m in net.modules()]
    return tensors, modes


LOADER = [torch.randn(8, 4, generator=torch.Generator().manual_seed(s)).double() for s in (1, 2, 3)]


@pytest.mark.parametrize("options", [{}, {"loader": LOADER}], ids=["kept", "gathered"])
@pytest.mark.parametrize("fails", [False, True])
def test_what_was_there_is_put_back_bit_for_bit(options, fails):
    net = network()
    optimizer = SGD(net.parameters(), lr=0.1, momentum=0.9)
    average = PolyakAverage(optimizer, model=net)
    train(net, optimizer)
    before = everything(net)
    try:
        with averaged(average, **options):
            assert not torch.equal(net[0].weight, before[0]["0.weight"])
            net(LOADER[0])  # in training mode, this moves statistics
            if fails:
                raise KeyError("in the block")
    except KeyError:
        assert fails
    assert_close(everything(net), before, **EXACT)


def test_a_loader_that_fails_leaves_nothing_changed():
    net = network()
    optimizer = SGD(net.parameters(), lr=0.1)
    average = PolyakAverage(optimizer, model=net)
    train(net, optimizer)
    net.eval()
    before = everything(net)
    with pytest.raises(RuntimeError), averaged(average, loader=[LOADER[0], torch.zeros(2, 99)]):
        pass
    assert_close(everything(net), before, **EXACT)


def test_training_goes_on_after_a_block_as_if_it_had_not_been():
    ends = []
    for look in (False, True):
        net = network()
        optimizer = Adam(net.parameters(), lr=0.1)
        average = PolyakAverage(optimizer, model=net)
        train(net, optimizer)
        if look:
            with averaged(average, loader=LOADER):
                net(LOADER[0])
        train(net, optimizer)
        ends.append([*net.state_dict().values(), *values(average)])
    assert_close(*ends, **EXACT)


def test_statistics_are_averaged_with_the_model_or_gathered_anew():
    net = network()
    optimizer = SGD(net.parameters(), lr=0.1)
    average, bare = PolyakAverage(optimizer, model=net), PolyakAverage(optimizer)
    seen, params = [], []

    def note():
        seen.append(net[1].running_var.clone())
        params.append([p.detach().clone() for p in net.parameters()])

    optimizer.register_step_post_hook(lambda *_: note())
    train(net, optimizer)
    with averaged(average):
        assert_close(net[1].running_var, torch.stack(seen).mean(0), **NEAR)
        assert_close([p.detach() for p in net.parameters()], mean(params), **NEAR)
    with averaged(bare):
        assert_close(net[1].running_var, seen[-1], **EXACT)
    with averaged(bare, model=net, loader=LOADER):
        gathered = net[1].running_var.clone()
        reference = network()
        reference.load_state_dict(net.state_dict())
    update_bn(LOADER, reference)
    assert_close(gathered, reference[1].running_var, **EXACT)
    assert not torch.equal(gathered, seen[-1])


def test_a_loader_needs_the_model_and_a_source_must_average():
    optimizer = SGD(parameters())
    with pytest.raises(ValueError, match="give model="), averaged(
        PolyakAverage(optimizer), loader=[]
    ):  # fmt: skip
        pass
    with pytest.raises(TypeError, match=r"averaged\(SGD\): it keeps no average"):
        averaged(optimizer).__enter__()
    with pytest.raises(TypeError, match=r"averaged\(SGD\): it keeps no average"):
        averaged(torch.optim.SGD(parameters())).__enter__()


@pytest.mark.parametrize("make", [SGDScheduleFree, AdamWScheduleFree])
@pytest.mark.parametrize("around", [lambda o: o, lambda o: GradientAccumulation(o, 1)])
def test_schedule_free_is_evaluated_at_its_average(make, around):
    params = parameters()
    inner = make(params, lr=0.1)
    optimizer = around(inner)
    with averaged(optimizer):  # before the first step, the parameters themselves
        assert_close(params, parameters(), **EXACT)
    path = walk(optimizer, 10)
    zs = [inner.state[p]["z"] for p in params]
    with averaged(optimizer):
        x = [(y - 0.1 * z) / 0.9 for y, z in zip(path[-1], zs, strict=True)]
        assert_close([p.detach() for p in params], x, **NEAR)
        inside = [p.detach().clone() for p in params]
    assert_close([p.detach() for p in params], path[-1], **EXACT)
    inner.eval()
    assert_close([p.detach() for p in params], inside, **EXACT)


def test_averaged_descent_is_evaluated_at_polyaks_average():
    params = parameters()
    optimizer = AveragedSGD(params, lr=0.1)
    average = PolyakAverage(optimizer)
    path = walk(optimizer, 10)
    with averaged(optimizer):
        assert_close([p.detach() for p in params], mean(path), **NEAR)
        assert_close([p.detach() for p in params], values(average), **NEAR)


@pytest.mark.parametrize("make", [SGDScheduleFree, AdamWScheduleFree])
def test_schedule_free_turns_to_its_average_and_back(make):
    params = parameters()
    optimizer = make(params, lr=0.1)
    optimizer.train()  # as it is
    path = walk(optimizer, 5)
    optimizer.eval()
    optimizer.eval()
    with pytest.raises(RuntimeError, match=rf"{make.__name__}.step\(\).*Call train\(\)"):
        optimizer.step()
    resumed = make([nn.Parameter(p.detach().clone()) for p in params], lr=0.1)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for each in (optimizer, resumed):
        each.train()
        turned = [p.detach() for p in each.param_groups[0]["params"]]
        assert_close(turned, path[-1], **NEAR)
    assert_close(*(walk(each, 5)[-1] for each in (optimizer, resumed)), **EXACT)


def test_schedule_free_defaults_are_the_packages():
    sgd, adamw = SGDScheduleFree(parameters()), AdamWScheduleFree(parameters())
    shared = {"weight_decay": 0.0, "warmup_steps": 0, "r": 0.0, "weight_lr_power": 2.0}
    assert sgd.defaults.items() >= {"lr": 1.0, "momentum": 0.9, **shared}.items()
    assert (
        adamw.defaults.items()
        >= {"lr": 0.0025, "betas": (0.9, 0.999), "eps": 1e-8, **shared}.items()
    )
    assert {*adamw.state} == set()
    walk(adamw, 1)
    assert {*next(iter(adamw.state.values()))} == {
        *("step", "exp_avg_sq", "z", "weight_sum", "lr_max")
    }
