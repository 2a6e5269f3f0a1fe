"""Interventions in the update: the script under them is the script edited by hand."""

import pytest
import torch
from scripts_and_edits import (
    by_autograd,
    by_closure,
    by_hand,
    different,
    equal,
    network,
    run,
    script,
    table,
)
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD, Adam, AdamW, lr_scheduler

import thalweg.optim
from thalweg.interventions import (
    ClearStaleGradients,
    Clipping,
    EarlyStopping,
    InterventionError,
    LearningRate,
    MasterWeights,
    OptimizerSetting,
    OptimizerSwap,
    OtherSign,
    Regularization,
    TrainedParameters,
)

halving = lambda optimizer: lr_scheduler.StepLR(optimizer, 2, 0.5)
warming = lambda optimizer: lr_scheduler.LambdaLR(optimizer, lambda t: min(1.0, (t + 1) / 4))


def cycling(peak):
    return lambda optimizer: lr_scheduler.OneCycleLR(optimizer, peak, total_steps=8)


def manual(base):
    """A schedule that the script sets itself."""

    def before_step(model, optimizer, step):
        for group in optimizer.param_groups:
            group["lr"] = base / (1 + step)

    return before_step


def clip(norm, eps=0.0):
    def before_step(model, optimizer, step):
        grads = [p.grad for p in model.parameters()]
        total = torch.sqrt(sum(g.square().sum() for g in grads))
        for g in grads:
            g.mul_(min(1.0, norm / (total.item() + eps)))

    return before_step


def negate(model, optimizer, step):
    for p in model.parameters():
        p.grad.neg_()


swap = thalweg.optim.Adam

# name: (interventions, script, script edited by hand, rounding)
UPDATES = {
    "rate x 3": (lambda: [LearningRate(3.0)], script(lr=0.1), script(lr=0.1 * 3.0), 0),
    "rate x 3, schedule": (
        lambda: [LearningRate(3.0)],
        script(lr=0.1, schedule=halving, momentum=0.9),
        script(lr=0.1 * 3.0, schedule=halving, momentum=0.9),
        1e-13,
    ),
    "rate x 3, groups": (
        lambda: [LearningRate(3.0)], script(groups=True), script(groups=True, lr=0.1 * 3.0), 0,
    ),
    "rate x 3, Adam": (lambda: [LearningRate(3.0)], script(Adam), script(Adam, lr=0.1 * 3.0), 0),
    "rate x 3, tensor": (
        lambda: [LearningRate(3.0)],
        script(lr=torch.tensor(0.125)), script(lr=torch.tensor(0.375)), 0,
    ),
    "rate 0.02": (lambda: [LearningRate(value=0.02)], script(lr=0.1), script(lr=0.02), 1e-13),
    "rate 0.02, schedule": (
        lambda: [LearningRate(value=0.02)],
        script(lr=0.1, schedule=warming), script(lr=0.02, schedule=warming), 1e-13,
    ),
    "rate 0.02, groups": (
        lambda: [LearningRate(value=0.02)],
        script(groups=True), script(groups=True, lr=0.02), 1e-13,
    ),
    "rate 0.02, one cycle": (
        lambda: [LearningRate(value=0.02)],
        script(schedule=cycling(0.5)), script(schedule=cycling(0.02)), 1e-13,
    ),
    "rate held": (
        lambda: [LearningRate(1.0, hold=True)], script(schedule=halving), script(), 0,
    ),
    "rate held x 2": (
        lambda: [LearningRate(2.0, hold=True)],
        script(schedule=halving, groups=True), script(lr=0.2, groups=True), 0,
    ),
    "rate x 3, closure": (
        lambda: [LearningRate(3.0)], by_closure(lr=0.125), by_closure(lr=0.375), 0,
    ),
    "rate x 2, by hand": (lambda: [LearningRate(2.0)], by_hand(0.1), by_hand(0.2), 0),
    "rate x 2, by hand, gradients kept": (
        lambda: [LearningRate(2.0)], by_hand(0.1, clear=False), by_hand(0.2, clear=False), 0,
    ),
    "rate x 2, autograd": (lambda: [LearningRate(2.0)], by_autograd(0.1), by_autograd(0.2), 0),
    "optimizer": (lambda: [OptimizerSwap("adam", 0.01)], script(), script(swap, lr=0.01), 0),
    "optimizer at its own rate": (
        lambda: [OptimizerSwap("adam")], script(), script(swap, lr=1e-3), 0,
    ),
    "optimizer with settings": (
        lambda: [OptimizerSwap("sgd", 0.05, {"momentum": 0.9, "nesterov": True})],
        script(Adam), script(SGD, lr=0.05, momentum=0.9, nesterov=True), 1e-12,
    ),
    "optimizer, weight decay kept": (
        lambda: [OptimizerSwap("adamw", 0.01)],
        script(weight_decay=0.3), script(AdamW, lr=0.01, weight_decay=0.3), 1e-12,
    ),
    "optimizer, groups": (
        lambda: [OptimizerSwap("adam", 0.01)],
        script(groups=True), script(swap, lr=0.01), 1e-12,
    ),
    "optimizer, schedule": (
        lambda: [OptimizerSwap("adam", 0.01)],
        script(schedule=halving), script(swap, lr=0.01, schedule=halving), 1e-12,
    ),
    "optimizer, warm-up": (
        lambda: [OptimizerSwap("adam", 0.01)],
        script(schedule=warming), script(swap, lr=0.01, schedule=warming), 1e-12,
    ),
    "optimizer, one cycle": (
        lambda: [OptimizerSwap("adam", 0.01)],
        script(schedule=cycling(0.3), momentum=0.9),
        script(swap, schedule=lambda o: lr_scheduler.OneCycleLR(
            o, 0.01, total_steps=8, cycle_momentum=False)), 1e-12,
    ),
    "optimizer, manual schedule": (
        lambda: [OptimizerSwap("adam", 0.01)],
        script(before_step=manual(0.1)), script(swap, before_step=manual(0.01)), 1e-12,
    ),
    "optimizer, closure": (
        lambda: [OptimizerSwap("sgd", 0.05)], by_closure(), script(steps=3, lr=0.05), 1e-12,
    ),
    "clipping": (
        lambda: [Clipping(0.05)], script(momentum=0.5),
        script(momentum=0.5, before_step=clip(0.05)), 1e-12,
    ),
    "clipping above every norm": (lambda: [Clipping(1e6)], script(), script(), 0),
    "clipping, autograd": (
        lambda: [Clipping(0.05)], by_autograd(0.1),
        by_autograd(0.1, lambda gs: [
            g * min(1.0, 0.05 / torch.sqrt(sum(h.square().sum() for h in gs)).item()) for g in gs
        ]), 1e-12,
    ),
    "clear": (lambda: [ClearStaleGradients()], script(clear=False), script(clear=True), 0),
    "clear, Adam": (
        lambda: [ClearStaleGradients()], script(Adam, clear=False), script(Adam, clear=True), 0,
    ),
    "clear, by hand": (
        lambda: [ClearStaleGradients()], by_hand(0.1, clear=False), by_hand(0.1, clear=True), 0,
    ),
    "clear, closure": (
        lambda: [ClearStaleGradients()], by_closure(clear=False), by_closure(clear=True), 0,
    ),
    "other sign": (
        lambda: [OtherSign()], script(maximize=True), script(maximize=False), 0,
    ),
    "other sign, autograd": (
        lambda: [OtherSign()], by_autograd(-0.1), by_autograd(0.1), 0,
    ),
    "other sign, by hand, gradients kept": (
        lambda: [OtherSign()], by_hand(-0.1, clear=False), by_hand(0.1, clear=False), 0,
    ),
    "other sign, gradients kept": (
        lambda: [OtherSign()],
        script(maximize=True, clear=False), script(maximize=False, clear=False), 0,
    ),
    "clipping, gradients kept": (
        lambda: [Clipping(0.05)], script(clear=False),
        script(clear=False, before_step=clip(0.05)), 1e-12,
    ),
    "no regularization": (
        lambda: [Regularization(0.0)], script(weight_decay=0.5), script(weight_decay=0.0), 0,
    ),
    "less regularization": (
        lambda: [Regularization(0.25)],
        script(AdamW, weight_decay=0.5), script(AdamW, weight_decay=0.125), 0,
    ),
    "early stopping": (
        lambda: [EarlyStopping(2)], script(momentum=0.9, weight_decay=0.1),
        script(momentum=0.9, weight_decay=0.1, upto=2), 0,
    ),
    "early stopping, Adam": (
        lambda: [EarlyStopping(3)], script(Adam, weight_decay=0.1),
        script(Adam, weight_decay=0.1, upto=3), 0,
    ),
    "early stopping, closure": (
        lambda: [EarlyStopping(1)], by_closure(), by_closure(steps=1), 0,
    ),
    "early stopping, autograd": (
        lambda: [EarlyStopping(2)], by_autograd(0.1), by_autograd(0.1, steps=2), 0,
    ),
    "setting": (
        lambda: [OptimizerSetting({"momentum": 0.5})],
        script(momentum=0.99), script(momentum=0.5), 0,
    ),
    "setting, betas": (
        lambda: [OptimizerSetting({"betas": [0.5, 0.9], "eps": 1e-3})],
        script(Adam), script(Adam, betas=(0.5, 0.9), eps=1e-3), 0,
    ),
    # two at once are both edits
    "clear and clip": (
        lambda: [ClearStaleGradients(), Clipping(0.05)],
        script(clear=False), script(before_step=clip(0.05)), 1e-12,
    ),
    "rate and clip": (
        lambda: [LearningRate(3.0), Clipping(0.05)],
        script(), script(lr=0.1 * 3.0, before_step=clip(0.05)), 1e-12,
    ),
    "rates multiply": (
        lambda: [LearningRate(3.0), LearningRate(2.0)],
        script(), script(lr=0.1 * 3.0 * 2.0), 1e-13,
    ),
    "rate and optimizer": (
        lambda: [LearningRate(3.0), OptimizerSwap("adam", 0.01)],
        script(), script(swap, lr=0.03), 1e-12,
    ),
    "optimizer and rate": (
        lambda: [OptimizerSwap("adam", 0.01), LearningRate(3.0)],
        script(schedule=halving), script(swap, lr=0.03, schedule=halving), 1e-12,
    ),
    "optimizer and clip": (
        lambda: [OptimizerSwap("adam", 0.01), Clipping(0.05)],
        script(), script(swap, lr=0.01, before_step=clip(0.05)), 1e-12,
    ),
    "optimizer and no regularization": (
        lambda: [OptimizerSwap("adam", 0.01), Regularization(0.0)],
        script(weight_decay=0.5), script(swap, lr=0.01), 1e-12,
    ),
    "optimizer and early stopping": (
        lambda: [OptimizerSwap("adam", 0.01), EarlyStopping(2)],
        script(), script(swap, lr=0.01, upto=2), 1e-12,
    ),
    "sign and setting": (
        lambda: [OtherSign(), OptimizerSetting({"momentum": 0.5})],
        script(maximize=True, momentum=0.9), script(momentum=0.5), 0,
    ),
}  # fmt: skip
SAME = {"clipping above every norm"}


@pytest.mark.parametrize("name", UPDATES)
def test_is_the_script_edited_by_hand(name):
    interventions, original, edited, rounding = UPDATES[name]
    under, wanted = run(original, interventions()), run(edited)
    equal(_params(under, wanted), _params(wanted, under), rounding)
    if name not in SAME:
        different(_params(run(original), wanted), _params(wanted, under))


def _params(one, other):
    """Scripts of different forms return their parameters first; the random state is last."""
    size = min(len(one), len(other)) - 1
    return [*one[:size], one[-1]]


@pytest.mark.parametrize("name", UPDATES)
def test_is_over_when_the_session_is(name):
    interventions, original, *_ = UPDATES[name]
    before, construct = run(original), torch.optim.Optimizer.__init__
    run(original, interventions())
    assert torch.optim.Optimizer.__init__ is construct
    equal(run(original), before)


@pytest.mark.parametrize(
    "make",
    [
        lambda: LearningRate(7.0),
        lambda: OptimizerSwap("adam", 0.3),
        lambda: OptimizerSetting({"momentum": 0.1}),
        lambda: Regularization(0.0),
    ],
)
def test_the_scripts_own_optimizer_is_left_as_it_was(make):
    kept = []

    def training():
        x, y = table()
        model = network()
        optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            kept.append({k: v for k, v in optimizer.param_groups[0].items() if k != "params"})
        kept.append((model, optimizer, x, y))
        return []

    run(training, [make()])
    model, optimizer, x, y = kept.pop()
    assert all(one["lr"] == 0.1 and one["momentum"] == 0.9 for one in kept)
    assert all(one["weight_decay"] == 0.1 for one in kept)
    # after the session its steps are its own
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    before = model[0].weight.detach().clone()
    gradient = model[0].weight.grad + 0.1 * before
    velocity = optimizer.state[model[0].weight].get("momentum_buffer", torch.zeros_like(before))
    wanted = before - 0.1 * (0.9 * velocity + gradient)
    optimizer.step()
    torch.testing.assert_close(model[0].weight.detach(), wanted, rtol=1e-12, atol=1e-12)


def test_clipping_is_pytorchs_but_for_its_epsilon():
    def pytorchs(model, optimizer, step):
        nn.utils.clip_grad_norm_(model.parameters(), 0.05)

    wanted = run(script(before_step=pytorchs))
    equal(run(script(), [Clipping(0.05)]), wanted, 1e-4)


def test_clipping_takes_a_broken_gradient_out_and_keeps_the_others():
    def broken(model, optimizer, step):
        if step == 2:
            model[0].bias.grad[0] = float("nan")

    under = run(script(before_step=broken), [Clipping(1e9)])

    def skipped(model, optimizer, step):
        if step == 2:
            for p in model.parameters():
                p.grad.zero_()

    equal(under[:5], run(script(before_step=skipped))[:5])


def test_two_optimizers_are_each_answered_with_their_own_rate():
    def pair(kind, first, second):
        def training():
            x, y = table()
            model = network()
            one = kind(model[0].parameters(), lr=first)
            two = kind(model[2].parameters(), lr=second)
            halve = lr_scheduler.StepLR(two, 1, 0.5)
            for _ in range(5):
                one.zero_grad(), two.zero_grad()
                F.cross_entropy(model(x), y).backward()
                one.step(), two.step()
                halve.step()
            return model.parameters()

        return training

    under = run(pair(SGD, 0.1, 0.4), [OptimizerSwap("adam", 0.01)])
    equal(under, run(pair(swap, 0.01, 0.01)), 1e-12)
    under = run(pair(SGD, 0.1, 0.4), [LearningRate(value=0.02)])
    equal(under, run(pair(SGD, 0.02, 0.02)), 1e-13)


def test_a_group_that_comes_later_is_answered_too():
    def training(kind, first, later):
        def inner():
            x, y = table()
            model = network()
            optimizer = kind(model[2].parameters(), lr=first)
            for step in range(5):
                if step == 2:
                    optimizer.add_param_group({"params": model[0].parameters(), "lr": later})
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
            return model.parameters()

        return inner

    under = run(training(SGD, 0.1, 0.1), [OptimizerSwap("adam", 0.01)])
    equal(under, run(training(swap, 0.01, 0.01)), 1e-12)


def test_a_value_of_the_rate_needs_an_optimizer():
    with pytest.raises(InterventionError, match="only a factor can be applied"):
        run(by_hand(0.1), [LearningRate(value=0.1)])


def partly(given, data_with_gradient=False):
    """Training in which the optimizer was given some parameters only."""

    def training():
        x, y = table()
        model = network()
        x.requires_grad_(data_with_gradient)
        optimizer = SGD(given(model), lr=0.1, momentum=0.9)
        for _ in range(5):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        return [*model.parameters(), x]

    return training


@pytest.mark.parametrize("data_with_gradient", [False, True])
def test_trained_parameters_are_those_that_were_left_out(data_with_gradient):
    left_out = partly(lambda model: model[2].parameters(), data_with_gradient)
    wanted = run(partly(lambda model: model.parameters(), data_with_gradient))
    equal(run(left_out, [TrainedParameters()]), wanted)
    different(run(left_out), wanted)


def test_trained_parameters_of_bare_tensors():
    def training(both):
        def inner():
            x, y = table()
            w = torch.zeros(4, 3, dtype=torch.float64, requires_grad=True)
            b = torch.zeros(3, dtype=torch.float64, requires_grad=True)
            optimizer = SGD([w, b] if both else [w], lr=0.1)
            for _ in range(4):
                optimizer.zero_grad()
                F.cross_entropy(x @ w + b, y).backward()
                optimizer.step()
            return [w, b]

        return inner

    equal(run(training(False), [TrainedParameters()]), run(training(True)))


def half(kind, masters):
    """Training in bfloat16; with master weights if a person wrote them."""

    def training():
        x, y = table()
        model = network().bfloat16()
        own = [p.detach().float().requires_grad_() for p in model.parameters()]
        optimizer = kind(own if masters else model.parameters(), lr=1e-3)
        for _ in range(8):
            model.zero_grad()
            F.cross_entropy(model(x.bfloat16()), y).backward()
            if masters:
                for copy, p in zip(own, model.parameters(), strict=True):
                    copy.grad = p.grad.float()
            optimizer.step()
            if masters:
                with torch.no_grad():
                    for copy, p in zip(own, model.parameters(), strict=True):
                        p.copy_(copy)
        return model.parameters()

    return training


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_master_weights_are_float32_copies(kind):
    equal(run(half(kind, False), [MasterWeights()]), run(half(kind, True)))
    different(run(half(kind, False)), run(half(kind, True)))


def test_another_optimizer_updates_the_master_weights():
    interventions = [MasterWeights(), OptimizerSwap("adam", 1e-3)]
    equal(run(half(SGD, False), interventions), run(half(swap, True)), 1e-6)


def test_a_loss_differentiated_twice_is_turned_each_time():
    def training(sign):
        def inner():
            w = torch.tensor([1.0, 2.0], requires_grad=True)
            optimizer = SGD([w], lr=0.1)
            loss = sign * w.square().sum()
            loss.backward(retain_graph=True)
            loss.backward()
            optimizer.step()
            return [w]

        return inner

    equal(run(training(1.0), [OtherSign()]), run(training(-1.0)))


def test_gradient_scaling_is_taken_out_before_clipping():
    def training(edited):
        def inner():
            x, y = table()
            model = network().float()
            optimizer = SGD(model.parameters(), lr=0.1)
            scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
            for step in range(5):
                optimizer.zero_grad()
                scaler.scale(F.cross_entropy(model(x.float()), y)).backward()
                if edited:
                    scaler.unscale_(optimizer)
                    clip(0.05)(model, optimizer, step)
                scaler.step(optimizer)
                scaler.update()
            return model.parameters()

        return inner

    equal(run(training(False), [Clipping(0.05)]), run(training(True)), 1e-6)
