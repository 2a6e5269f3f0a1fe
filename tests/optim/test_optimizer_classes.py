"""The optimizers as PyTorch's training loops meet them."""

import contextlib
import copy
import functools
import inspect
import pickle
import weakref

import pytest
import torch
from beside_pytorch import EXACT, nearness
from optim_cases import gradients
from torch import nn
from torch.optim import lr_scheduler
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from torch.testing import assert_close

from thalweg.optim import (
    ASGD,
    OPTIMIZERS,
    RULES,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Adan,
    AveragedSGD,
    CoordinateDescent,
    NAdam,
    RAdam,
    RMSprop,
    Rprop,
    Yogi,
    clip_by_global_norm,
    optimizer_class,
)
from thalweg.optim.options import Options

# Muon takes matrices alone, as PyTorch's: see test_matrix_classes.py.
GENERAL = {name: made for name, made in OPTIMIZERS.items() if name != "muon"}
every_optimizer = pytest.mark.parametrize("name", GENERAL)
PYTORCHS = {n: getattr(torch.optim, made.__name__, None) for n, made in GENERAL.items()}
PYTORCHS["sparseadam"] = None  # PyTorch's takes sparse gradients only: see test_sparse.py
# Each class with PyTorch's own, or where PyTorch has none, with its own plainest form.
MAKES = {n: (m, PYTORCHS[n] or functools.partial(m, form="each")) for n, m in GENERAL.items()}


def permitted(name, form):
    """A rule that is not pointwise has one form."""
    return form in ("auto", "each") or "pointwise" in OPTIMIZERS[name].rule.facts


def every_form_of(*forms):
    """Every optimizer in each of these forms that it has."""
    pairs = [(name, form) for name in GENERAL for form in forms if permitted(name, form)]
    return pytest.mark.parametrize(("name", "form"), pairs)


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.BatchNorm1d(8), nn.Linear(8, 1))


def batch(seed=0):
    source = torch.Generator().manual_seed(seed)
    return torch.randn(16, 5, generator=source), torch.randn(16, 1, generator=source)


def train(make, steps=8, schedule=None, scaler=None):
    """A usual loop; returns the parameters."""
    net = model()
    optimizer = make(net.parameters())
    plan = schedule(optimizer) if schedule else None
    for step in range(steps):
        x, y = batch(step)
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(net(x), y)
        if scaler:
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        else:
            loss.backward()
            optimizer.step()
        if plan:
            plan.step()
    return [p.detach() for p in net.parameters()]


SCHEDULES = {
    "step": lambda o: lr_scheduler.StepLR(o, 2),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, 8),
    "warm-up from zero": lambda o: lr_scheduler.LambdaLR(o, lambda step: step / 4),
    "one cycle, momentum too": lambda o: lr_scheduler.OneCycleLR(
        o, 0.1, total_steps=9, cycle_momentum=bool({"momentum", "betas"} & o.defaults.keys())
    ),
    "cyclic": lambda o: lr_scheduler.CyclicLR(
        o, 1e-3, 1e-1, step_size_up=3, cycle_momentum="momentum" in o.defaults
    ),
}


@every_optimizer
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize("lr", [0.05, torch.tensor(0.05)], ids=["number", "tensor"])
def test_schedulers_act_as_on_pytorchs(name, schedule, lr):
    more = {"momentum": 0.9} if name == "sgd" else {}
    ends = [
        train(lambda ps, make=make: make(ps, lr=copy.deepcopy(lr), **more), schedule=schedule)
        for make in MAKES[name]
    ]
    assert_close(*ends, **nearness(name))


@every_optimizer
def test_a_plateau_scheduler_can_lower_the_rate(name):
    optimizer = OPTIMIZERS[name](model().parameters(), lr=1.0)
    plan = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5)
    plan.step(1.0)
    plan.step(1.0)
    assert optimizer.param_groups[0]["lr"] == 0.5


@every_optimizer
def test_a_grad_scaler_scales_and_skips(name):
    ends = [
        train(make, scaler=torch.amp.GradScaler("cpu", init_scale=2.0**10)) for make in MAKES[name]
    ]
    assert_close(*ends, **nearness(name))
    p = nn.Parameter(torch.ones(2))
    optimizer, scaler = OPTIMIZERS[name]([p]), torch.amp.GradScaler("cpu")
    scaler.scale((p * torch.inf).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert p.tolist() == [1.0, 1.0]
    assert not optimizer.state


@every_optimizer
def test_groups_have_settings_of_their_own(name):
    def grouped(make):
        def build(params):
            first, *rest = params
            optimizer = make([{"params": [first], "lr": 0.5}, {"params": rest}], lr=0.01)
            optimizer.param_groups[1]["weight_decay"] = 0.1
            return optimizer

        return build

    assert_close(*(train(grouped(make)) for make in MAKES[name]), **nearness(name))


@every_optimizer
def test_a_group_can_be_added_in_mid_run(name):
    ends = []
    for make in MAKES[name]:
        one, two = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2))
        optimizer = make([one], lr=0.1)
        for step in range(4):
            if step == 2:
                optimizer.add_param_group({"params": [two], "lr": 0.3})
            one.grad, two.grad = torch.full((3,), step + 1.0), torch.full((2,), step - 9.0)
            optimizer.step()
        ends.append([one.detach(), two.detach()])
    assert_close(*ends, **EXACT)


@every_optimizer
def test_names_of_parameters_are_kept(name):
    net = model()
    optimizer = OPTIMIZERS[name](net.named_parameters())
    assert optimizer.param_groups[0]["param_names"] == [n for n, _ in net.named_parameters()]


@every_optimizer
def test_hooks_of_every_kind_are_called(name):
    calls = []
    optimizer = OPTIMIZERS[name](model().parameters())
    optimizer.register_step_pre_hook(lambda *_: calls.append("own pre"))
    optimizer.register_step_post_hook(lambda *_: calls.append("own post"))
    handles = [
        register_optimizer_step_pre_hook(lambda *_: calls.append("pre")),
        register_optimizer_step_post_hook(lambda *_: calls.append("post")),
    ]
    optimizer.step()
    for handle in handles:
        handle.remove()
    assert calls == ["pre", "own pre", "own post", "post"]


@pytest.mark.parametrize(
    "register",
    [
        torch.optim.Optimizer.register_step_pre_hook,
        torch.optim.Optimizer.register_step_post_hook,
        lambda optimizer, hook: register_optimizer_step_pre_hook(hook),
        lambda optimizer, hook: register_optimizer_step_post_hook(hook),
    ],
    ids=["own pre", "own post", "pre", "post"],
)
def test_one_hook_is_enough(register):
    calls = []
    optimizer = OPTIMIZERS["sgd"](model().parameters())
    optimizer.step()
    handle = register(optimizer, lambda *given: calls.append(given[0] is optimizer))
    optimizer.step()
    handle.remove()
    optimizer.step()
    assert calls == [True]


def test_a_profiler_sees_the_step():
    optimizer = OPTIMIZERS["sgd"](model().parameters())
    with torch.autograd.profiler.profile() as profile:
        optimizer.step()
    assert "Optimizer.step#SGD.step" in {event.name for event in profile.function_events}


def test_whether_gradients_are_recorded_is_as_before_the_step():
    p = nn.Parameter(torch.ones(2))
    optimizer = OPTIMIZERS["sgd"]([p], nonfinite="raise")
    for recording in (True, False):
        for g in (1.0, torch.nan):
            p.grad = torch.full((2,), g)
            with torch.set_grad_enabled(recording):
                with contextlib.suppress(RuntimeError):
                    optimizer.step()
                assert torch.is_grad_enabled() is recording


@every_optimizer
def test_a_closure_is_called_with_gradients_and_its_loss_returned(name):
    p = nn.Parameter(torch.ones(2))
    optimizer = OPTIMIZERS[name]([p], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (p**2).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 2.0
    assert optimizer.step(closure).item() < 2.0


@every_form_of("auto", "each", "together")
def test_gradients_are_never_written_to(name, form):
    params = [nn.Parameter(x) for x in gradients([(3, 4), (3000,)], 1)[0]]
    grads = gradients([(3, 4), (3000,)], 3, seed=1)
    optimizer = OPTIMIZERS[name](params, maximize=True, form=form, **decayed(name, 0.1))
    for gs in grads:
        kept = [g.clone() for g in gs]
        for p, g in zip(params, gs, strict=True):
            p.grad = g
        optimizer.step()
        assert all(p.grad is g for p, g in zip(params, gs, strict=True))
        assert_close(gs, kept, **EXACT)


@every_form_of("auto", "each", "together", "blocks")
def test_clearing_a_gradient_frees_its_memory(name, form):
    p = nn.Parameter(torch.ones(3000))
    optimizer = OPTIMIZERS[name]([p], form=form)
    p.grad = torch.ones(3000)
    memory = weakref.ref(p.grad)
    optimizer.step()
    optimizer.zero_grad()
    assert memory() is None


@every_form_of("auto", "each", "together", "blocks")
def test_gradients_with_a_graph_of_their_own_are_taken(name, form):
    p = nn.Parameter(torch.ones(3000))
    optimizer = OPTIMIZERS[name]([p], form=form)
    (p.grad,) = torch.autograd.grad((p**2).sum(), p, create_graph=True)
    optimizer.step()
    assert p.is_leaf
    assert not p.detach().eq(1).all()
    assert not any(x.requires_grad for x in optimizer.state[p].values())


@every_form_of("auto", "each", "together")
def test_a_parameter_without_gradient_is_left_alone(name, form):
    idle, busy = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = OPTIMIZERS[name]([idle, busy], form=form, **decayed(name, 0.5))
    busy.grad = torch.ones(2)
    optimizer.step()
    assert idle.tolist() == [1.0, 1.0]
    assert idle not in optimizer.state
    assert busy.tolist() != [1.0, 1.0]


# Not where the rule's point is a number that all parameters have in common.
@pytest.mark.parametrize("name", [n for n, made in GENERAL.items() if not made.rule.summaries])
def test_a_gradient_that_comes_late_finds_a_fresh_start(name):
    more = {"momentum": 0.9, "dampening": 0.5} if name == "sgd" else {}
    late, other = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    fresh = nn.Parameter(torch.ones(2))
    both, alone = OPTIMIZERS[name]([late, other], **more), OPTIMIZERS[name]([fresh], **more)
    for step in range(6):
        other.grad = torch.ones(2)
        late.grad = torch.tensor([1.0, -2.0]) if step >= 3 else None
        both.step()
    for _ in range(3):
        fresh.grad = torch.tensor([1.0, -2.0])
        alone.step()
    assert_close(late, fresh, **EXACT)


def decayed(name, how_much):
    """Weight decay, where the optimizer has it."""
    return {"weight_decay": how_much} if "weight_decay" in OPTIMIZERS[name].standard else {}


def run_on(optimizer, count=3, seed=1):
    params = [p for group in optimizer.param_groups for p in group["params"]]
    for gs in gradients([p.shape for p in params], count, seed=seed, dtype=torch.float32):
        for p, g in zip(params, gs, strict=True):
            p.grad = g
        optimizer.step()
    return [p.detach().clone() for p in params]


@every_optimizer
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_goes_its_own_way(name, copied):
    more = {"momentum": 0.9} if name == "sgd" else {}
    form = "together" if permitted(name, "together") else "each"
    optimizer = OPTIMIZERS[name](
        [nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3000))], form=form, **more
    )
    before = run_on(optimizer)
    twin = copied(optimizer)
    assert type(twin) is type(optimizer)
    assert twin.form == form
    after = run_on(twin, seed=2)
    assert_close([p.detach() for p in optimizer.param_groups[0]["params"]], before, **EXACT)
    assert_close(run_on(optimizer, seed=2), after, **EXACT)


# The engine remembers where everything stands; whoever moves it must not be overlooked.
def exchange_data(p, state):
    p.data = p.data.clone()


def move_state(p, state):
    for x in state[p].values():
        x.data = x.data.clone()


def replace_state(p, state):
    state[p].update({key: x.clone() for key, x in state[p].items()})


def zero_state(p, state):
    for x in state[p].values():
        x.zero_()


def forget_state(p, state):
    state[p].clear()


def start_anew(p, state):
    state[p] = {}


@every_optimizer
@pytest.mark.parametrize(
    "meddle",
    [exchange_data, move_state, replace_state, zero_state, forget_state, start_anew],
)
@pytest.mark.parametrize("size", [3, 3000])
@pytest.mark.parametrize("index", [0, 1])
def test_what_others_do_between_steps_is_seen(name, meddle, size, index):
    more = {"momentum": 0.9} if name == "sgd" else {}
    ends = []
    for make in MAKES[name]:
        params = [nn.Parameter(torch.ones(size)), nn.Parameter(torch.ones(4))]
        optimizer = make(params, **more)
        run_on(optimizer)
        meddle(params[index], optimizer.state)
        run_on(optimizer, seed=2)
        ends.append([[p.detach(), *optimizer.state[p].values()] for p in params])
    assert_close(*ends, **EXACT)


@every_optimizer
@pytest.mark.parametrize("turned", [0, 1])
def test_gradients_may_change_their_layout_between_steps(name, turned):
    ends = []
    for make in MAKES[name]:
        p = nn.Parameter(torch.ones(50, 60).T if turned else torch.ones(60, 50))
        optimizer = make([p])
        for step, (g,) in enumerate(gradients([(60, 50)], 4, dtype=torch.float32)):
            p.grad = g if step % 2 == turned else g.T.contiguous().T
            optimizer.step()
        ends.append(p.detach())
    assert_close(*ends, **nearness(name))


def test_state_of_another_type_is_not_taken_for_a_vector():
    ends = []
    for form in ("each", "auto"):
        p = nn.Parameter(torch.ones(3000))
        optimizer = SGD([p], momentum=0.9, form=form)
        run_on(optimizer)
        optimizer.state[p]["momentum_buffer"] = optimizer.state[p]["momentum_buffer"].bfloat16()
        run_on(optimizer, seed=2)
        ends.append([p.detach(), optimizer.state[p]["momentum_buffer"]])
    assert_close(*ends, **EXACT)


@every_optimizer
def test_settings_may_change_between_steps(name):
    ends = []
    for make in MAKES[name]:
        optimizer = make([nn.Parameter(torch.ones(3))], lr=0.1)
        for step in range(6):
            group = optimizer.param_groups[0]
            group["weight_decay"] = 0.1 * (step % 2)
            if name == "sgd":
                group["momentum"] = (0.0, 0.9, 0.8, 0.0, 0.0, 0.9)[step]
            ends_now = run_on(optimizer, 1, seed=step)
        ends.append(ends_now)
    assert_close(*ends, **EXACT)


@pytest.mark.parametrize("name", [n for n, made in OPTIMIZERS.items() if made.rule.rows is None])
def test_sparse_gradients_are_refused(name):
    table = nn.Embedding(4, 2, sparse=True)
    optimizer = OPTIMIZERS[name](table.parameters())
    table(torch.tensor([1, 2])).sum().backward()
    before = table.weight.detach().clone()
    with pytest.raises(RuntimeError, match=r"does not support sparse gradients. Use sparse=False"):
        optimizer.step()
    assert_close(table.weight.detach(), before, **EXACT)


P = [nn.Parameter(torch.ones(2))]
BAD = [
    (SGD, {"lr": -1}, ValueError, r"^Invalid learning rate: -1"),
    (SGD, {"momentum": -0.5}, ValueError, r"^Invalid momentum value: -0.5"),
    (SGD, {"weight_decay": -0.5}, ValueError, r"^Invalid weight_decay value: -0.5"),
    (SGD, {"nesterov": True}, ValueError, r"^Nesterov momentum requires a momentum and zero damp"),
    (SGD, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, ValueError, r"^Nesterov momentum"),
    (SGD, {"lr": torch.ones(2)}, ValueError, r"^Tensor lr must be 1-element"),
    (Adam, {"lr": -1e-2}, ValueError, r"^Invalid learning rate: -0.01"),
    (Adam, {"eps": -1}, ValueError, r"^Invalid epsilon value: -1"),
    (Adam, {"betas": (1.0, 0.9)}, ValueError, r"^Invalid beta parameter at index 0: 1.0"),
    (AdamW, {"betas": (0.0, 1.0)}, ValueError, r"^Invalid beta parameter at index 1: 1.0"),
    (Adagrad, {"lr_decay": -0.5}, ValueError, r"^Invalid lr_decay value: -0.5"),
    (Adagrad, {"initial_accumulator_value": -1}, ValueError, r"^Invalid initial_accumulator_value"),
    (RMSprop, {"alpha": -1}, ValueError, r"^Invalid alpha value: -1"),
    (RMSprop, {"momentum": -1}, ValueError, r"^Invalid momentum value: -1"),
    (Adadelta, {"rho": 1.1}, ValueError, r"^Invalid rho value: 1.1"),
    (Adamax, {"betas": (0.0, 1.0)}, ValueError, r"^Invalid beta parameter at index 1: 1.0"),
    (NAdam, {"momentum_decay": -0.2}, ValueError, r"^Invalid momentum_decay value: -0.2"),
    (RAdam, {"weight_decay": -1}, ValueError, r"^Invalid weight_decay value: -1"),
    (Rprop, {"etas": (1.0, 0.5)}, ValueError, r"^Invalid eta values: 1.0, 0.5"),
    (ASGD, {"weight_decay": -0.5}, ValueError, r"^Invalid weight_decay value: -0.5"),
]
OURS_ALONE = [
    (Rprop, {"etas": 0.5}, ValueError, r"etas must be a pair of numbers, one in \(0, 1\) and one"),
    (NAdam, {"convention": "tf"}, ValueError, r"must be one of 'torch', 'paper', 'optax'"),
    (Yogi, {"convention": "torch"}, ValueError, r"must be one of 'paper', 'optax'"),
    (Adan, {"betas": (0.9, 0.9)}, ValueError, r"betas must be three numbers in \[0, 1\)"),
    (RMSprop, {"centered": True, "bias_correction": True}, ValueError, r'Set eps_placement="ins'),
    (RMSprop, {"eps_placement": "floor"}, ValueError, r"must be one of 'outside', 'inside'"),
    (AveragedSGD, {"convention": "torch"}, TypeError, r"AveragedSGD\(convention=...\): no such"),
    (CoordinateDescent, {"selection": "best"}, ValueError, r"Invalid selection value: best"),
    (CoordinateDescent, {"form": "blocks"}, ValueError, r"is not declared pointwise"),
    (SGD, {"lr": float("nan")}, ValueError, r"^Invalid learning rate: nan"),
    (Adam, {"betas": 0.9}, ValueError, r"Adam\(betas=0.9\): betas must be a pair of numbers"),
    (Adam, {"lr": None}, TypeError, r"Adam\(lr=None\): lr must be a number >= 0"),
    (Adam, {"lr": "fast"}, TypeError, r"Adam\(lr='fast'\): lr must be a number >= 0"),
    (Adam, {"beta": 0.9}, TypeError, r"Adam\(beta=...\): no such argument. Did you mean 'betas'"),
    (AdamW, {"decoupled_weight_decay": False}, TypeError, r"AdamW\(decoupled_weight_decay=...\)"),
    (Adam, {"form": "fast"}, ValueError, r"Adam\(form='fast'\): no such form. Choose among auto"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "hyper", "kind", "words"), BAD + OURS_ALONE, ids=str)
def test_errors_say_what_is_wrong(make, hyper, kind, words):
    with pytest.raises(kind, match=words):
        make(P, **hyper)


@pytest.mark.parametrize(("make", "hyper", "kind", "words"), BAD, ids=str)
def test_errors_begin_as_pytorchs_do(make, hyper, kind, words):
    with pytest.raises(kind, match=words):
        getattr(torch.optim, make.__name__)(P, **hyper)


def test_groups_are_checked_too():
    with pytest.raises(ValueError, match="Invalid learning rate: -1"):
        SGD([{"params": P, "lr": -1}])
    optimizer = SGD(P, momentum=0.9)
    with pytest.raises(ValueError, match="Nesterov momentum"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))], **{
            "nesterov": True, "momentum": 0.0}})  # fmt: skip
    assert len(optimizer.param_groups) == 1


def test_arguments_by_position_are_checked():
    with pytest.raises(TypeError, match=r"SGD takes params and up to 5 arguments by position"):
        SGD(P, 1, 2, 3, 4, 5, 6)
    with pytest.raises(TypeError, match="SGD: lr is given by position and by name"):
        SGD(P, 0.1, lr=0.2)


@pytest.mark.parametrize("params", [[], P[0], ["p"], [{"params": set(P)}]], ids=str)
def test_parameters_are_checked_as_pytorchs_are(params):
    kinds = []
    for make in (SGD, torch.optim.SGD):
        with pytest.raises((TypeError, ValueError)) as caught:
            make(params)
        kinds.append((caught.type, str(caught.value)))
    assert kinds[0] == kinds[1]


def test_signatures_and_help_are_pytorchs_and_form():
    for ours, theirs in ((OPTIMIZERS[n], made) for n, made in PYTORCHS.items() if made):
        mine, other = (list(inspect.signature(made).parameters) for made in (ours, theirs))
        own = {"form", *Options.defaults()}
        assert {*other, *own} <= set(mine) <= {*other, *own, *ours.rule.hyperparameters}
        assert mine[: len(ours.order) + 1] == other[: len(ours.order) + 1]
        assert "Reference:" in ours.__doc__
    assert "AdamW: Adam with decoupled weight decay." in AdamW.__doc__


def test_any_rule_becomes_an_optimizer():
    clipped = optimizer_class("Clipped", clip_by_global_norm(RULES["sgd"]), lr=1.0)
    one, two = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))
    optimizer = clipped([{"params": [one]}, {"params": [two], "lr": 0.5}], max_norm=1.0)
    one.grad, two.grad = torch.tensor([3.0, 0.0]), torch.tensor([4.0])  # together of length 5
    optimizer.step()
    assert_close(one.detach(), torch.tensor([-0.6, 0.0]))
    assert_close(two.detach(), torch.tensor([-0.4]))
    assert one.grad.tolist() == [3.0, 0.0]
    assert clipped.__module__ == __name__
