"""Optimizers around others: SAM, Lookahead and accumulation, against their definitions."""

import copy
import math
import pickle

import pytest
import torch
from optim_cases import after, gradients
from torch import nn
from torch.testing import assert_close

from thalweg.optim import (
    RULES,
    SAM,
    SGD,
    Adam,
    GradientAccumulation,
    Lookahead,
    PolyakAverage,
    averaged,
    lookahead,
)
from thalweg.testing import check_optimizer

INNER = {"ours": Adam, "PyTorch's": torch.optim.Adam, "descent": torch.optim.SGD}
every_inner = pytest.mark.parametrize("make", INNER.values(), ids=INNER)
AROUND = {
    "SAM": lambda params, make: SAM(params, make, rho=0.1, lr=0.1),
    "Lookahead": lambda params, make: Lookahead(make(params, lr=0.1), k=3),
    "accumulation": lambda params, make: GradientAccumulation(make(params, lr=0.1), 3),
}
every_around = pytest.mark.parametrize("build", AROUND.values(), ids=AROUND)
EXACT = {"rtol": 0, "atol": 0}
NEAR = {"rtol": 1e-10, "atol": 1e-12}


def closure_of(optimizer, loss):
    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    return closure


# A loss with a gradient that turns: a + b are the parameters' coordinates.
def banana(x, y):
    return (1 - x) ** 2 + 5 * (y - x * x) ** 2


def slope(x, y):
    return -2 * (1 - x) - 20 * x * (y - x * x), 10 * (y - x * x)


def points(*starts):
    return [nn.Parameter(torch.tensor(x, dtype=torch.float64)) for x in starts]


@pytest.mark.parametrize("adaptive, eta", [(False, 0.0), (True, 0.0), (True, 0.01)])
@pytest.mark.parametrize("make", [SGD, torch.optim.SGD])
def test_sam_is_the_papers_algorithm(make, adaptive, eta):
    # So slow that 200 steps end on the slope: on the valley's floor, where the gradient's direction
    # turns over from step to step, SAM multiplies every rounding error.
    x, y = params = points(-0.7, 1.4)
    optimizer = SAM(params, make, rho=0.05, adaptive=adaptive, eta=eta, lr=1e-4)
    a, b = -0.7, 1.4
    for _ in range(200):
        loss = optimizer.step(closure_of(optimizer, lambda: banana(x, y)))
        assert math.isclose(loss.item(), banana(a, b), rel_tol=1e-10)
        g, h = slope(a, b)
        s, t = (abs(a) + eta, abs(b) + eta) if adaptive else (1.0, 1.0)
        length = math.hypot(s * g, t * h)
        g, h = slope(a + 0.05 * s * s * g / length, b + 0.05 * t * t * h / length)
        a, b = a - 1e-4 * g, b - 1e-4 * h
    assert_close([x.item(), y.item()], [a, b], **NEAR)
    assert banana(a, b) < banana(-0.7, 1.4) - 2


def test_sam_leaves_a_well_that_is_narrower_than_rho():
    """Two wells of one depth; the edge of the sharp one, where descent begins, is at -0.09."""
    well = lambda p: torch.minimum(50 * (p - 0.1) ** 2, 0.5 * (p + 2.0) ** 2)
    ends = []
    for rho in (0.0, 0.5):
        (p,) = points(0.15)
        optimizer = SAM([p], SGD, rho=rho, lr=0.015)
        for _ in range(300):
            optimizer.step(closure_of(optimizer, lambda p=p: well(p)))
        ends.append(p.item())
    assert ends[0] == pytest.approx(0.1, abs=1e-3)
    assert ends[1] < -0.1


def test_sam_in_two_calls_is_sam_by_closure():
    ends = []
    for by_hand in (False, True):
        x, y = params = points(-0.7, 0.4)
        optimizer = SAM(params, Adam, lr=0.01)
        closure = closure_of(optimizer, lambda x=x, y=y: banana(x, y))
        for _ in range(5):
            if by_hand:
                closure()
                optimizer.first_step(zero_grad=True)
                banana(x, y).backward()
                optimizer.second_step(zero_grad=True)
                assert x.grad is None
            else:
                optimizer.step(closure)
        ends.append([x.item(), y.item()])
    assert ends[0] == ends[1]


def test_sam_takes_a_rho_for_each_group():
    x, y = params = points(-0.7, 0.4)
    groups = [{"params": [x], "rho": 0.0}, {"params": [y]}]
    optimizer = SAM(groups, SGD, rho=0.05, lr=0.01)
    optimizer.step(closure_of(optimizer, lambda: banana(x, y)))
    g, h = slope(-0.7, 0.4)
    g, h = slope(-0.7, 0.4 + 0.05 * h / math.hypot(g, h))
    assert_close([p.item() for p in params], [-0.7 - 0.01 * g, 0.4 - 0.01 * h])


def test_sam_stays_where_it_is_when_the_second_loss_fails():
    x, y = params = points(-0.7, 0.4)
    optimizer, calls = SAM(params, Adam), []

    def closure():
        calls.append((x.item(), y.item()))
        if len(calls) == 2:
            raise KeyError("out of data")
        optimizer.zero_grad()
        banana(x, y).backward()

    with pytest.raises(KeyError):
        optimizer.step(closure)
    assert calls[0] != calls[1]
    assert (x.item(), y.item()) == (-0.7, 0.4)
    assert not optimizer.state
    optimizer.step(lambda: calls.clear() or closure())  # nothing is left half done


def test_sam_without_a_gradient_goes_nowhere():
    (x,) = points(1.0)
    optimizer = SAM([x], SGD, lr=1.0)
    x.grad = torch.zeros_like(x)
    optimizer.first_step()
    assert x.item() == 1.0
    optimizer.second_step()
    x.grad = None
    optimizer.first_step()
    optimizer.second_step()
    assert x.item() == 1.0


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda o: o.step(), RuntimeError, r"SAM.step\(\): it needs the gradient at two points"),
        (lambda o: (o.first_step(), o.first_step()), RuntimeError, "called twice"),
        (lambda o: SAM(points(1.0), SGD, rho=-1), ValueError, r"SAM\(rho=-1\): rho must be >= 0"),
        (lambda o: SAM(points(1.0), SGD, eta=-1), ValueError, r"SAM\(eta=-1\): eta must be >= 0"),
        (lambda o: SAM(points(1.0), SGD, lr=-1), ValueError, "Invalid learning rate"),
        (lambda o: Lookahead(o, k=0), ValueError, r"Lookahead\(k=0\): k must be a whole number"),
        (lambda o: Lookahead(o, alpha=2), ValueError, r"Lookahead\(alpha=2\): alpha must be in"),
        (lambda o: Lookahead(points(1.0)), TypeError, r"Lookahead\(list, ...\): the first argum"),
        (lambda o: GradientAccumulation(o, 0), ValueError, r"GradientAccumulation\(every=0\)"),
    ],
)
def test_misuse_is_refused_with_advice(call, error, message):
    (x,) = points(1.0)
    x.grad = torch.ones_like(x)
    with pytest.raises(error, match=message):
        call(SAM([x], SGD))


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_lookahead_is_the_wrapper_around_any_optimizer(name):
    make = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[name]
    start, grads = gradients([(4,)], 1, seed=4)[0][0], [g for (g,) in gradients([(4,)], 23)]
    p = nn.Parameter(start.clone())
    optimizer = Lookahead(make([p], lr=0.1), k=4, alpha=0.3)
    for g in grads:
        p.grad = g.clone()
        optimizer.step()
    made = lookahead(RULES[name])
    expected = after(made, start, grads, lr=0.1, lookahead_steps=4, lookahead_alpha=0.3)
    assert_close(p.detach(), expected, **EXACT)


def test_lookahead_counts_each_parameters_own_steps():
    early, late = points(1.0, 1.0)
    optimizer = Lookahead(torch.optim.SGD([early, late], lr=1.0), k=3, alpha=0.5)
    seen = []
    for step in range(7):
        early.grad = torch.ones_like(early)
        late.grad = torch.ones_like(late) if step >= 2 else None
        optimizer.step()
        seen.append((early.item(), late.item()))
    assert [a for a, _ in seen] == [0.0, -1.0, -0.5, -1.5, -2.5, -2.0, -3.0]
    assert [b for _, b in seen] == [1.0, 1.0, 0.0, -1.0, -0.5, -1.5, -2.5]


def test_lookahead_takes_a_closure():
    (x,) = points(3.0)
    optimizer = Lookahead(torch.optim.SGD([x], lr=0.25), k=2, alpha=0.5)
    losses = [optimizer.step(closure_of(optimizer, lambda: x**2)).item() for _ in range(3)]
    # 3, 1.5, then 0.75 and halfway back to 3
    assert losses == [9.0, 2.25, 1.875**2]


@every_inner
def test_accumulation_steps_once_for_the_mean_of_several_batches(make):
    shapes = [(3, 4), (5,), ()]
    starts, grads = gradients(shapes, 1, seed=4)[0], gradients(shapes, 12)
    many, one = ([nn.Parameter(p.clone()) for p in starts] for _ in range(2))
    optimizer, plain = GradientAccumulation(make(many, lr=0.1), 4), make(one, lr=0.1)
    for step, gs in enumerate(grads):
        optimizer.zero_grad()
        for p, g in zip(many, gs, strict=True):
            p.grad = g
        before = [p.detach().clone() for p in many]
        optimizer.step()
        assert all(p.grad is g for p, g in zip(many, gs, strict=True))
        if (step + 1) % 4:
            assert_close([p.detach() for p in many], before, **EXACT)
            continue
        for index, p in enumerate(one):
            p.grad = sum(g[index] for g in grads[step - 3 : step + 1]) / 4
        plain.step()
        assert_close(many, one, **NEAR)
    assert_close(grads, gradients(shapes, 12), **EXACT)  # nothing was summed in place


def test_accumulation_of_halves_of_a_batch_is_the_batch():
    ends = []
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(0)).double()
    for parts in (1, 4):
        torch.manual_seed(0)
        net = nn.Linear(4, 1).double()
        optimizer = GradientAccumulation(Adam(net.parameters(), lr=0.1), parts)
        for _ in range(5):
            for piece in x.chunk(parts):
                optimizer.zero_grad()
                net(piece).square().mean().backward()
                optimizer.step()
        ends.append([p.detach() for p in net.parameters()])
    assert_close(*ends, **NEAR)


def test_what_is_left_over_can_be_stepped_along():
    one, never = points(0.0, 0.0)
    optimizer = GradientAccumulation(SGD([one, never], lr=1.0), 4)
    for g in (1.0, 3.0):
        one.grad = torch.full_like(one, g)
        optimizer.step()
    optimizer.flush()
    assert (one.item(), never.item()) == (-2.0, 0.0)
    assert never.grad is None
    optimizer.flush()
    assert one.item() == -2.0
    assert optimizer.batches == 0


def test_accumulation_sums_half_precision_in_single():
    p = nn.Parameter(torch.zeros(1, dtype=torch.bfloat16))
    optimizer = GradientAccumulation(SGD([p], lr=1.0), 512)
    for _ in range(512):
        p.grad = torch.ones_like(p)
        optimizer.step()
    assert p.item() == -1.0  # in bfloat16 the sum would have stood still at 256


def test_gradients_come_back_when_the_inner_step_fails():
    (p,) = points(0.0)
    inner = torch.optim.SGD([p], lr=1.0)

    def fail(*_):
        raise KeyError

    inner.register_step_pre_hook(fail)
    optimizer = GradientAccumulation(inner, 1)
    p.grad = g = torch.ones_like(p)
    with pytest.raises(KeyError):
        optimizer.step()
    assert p.grad is g


def run(optimizer, params, grads):
    """Steps along fixed gradients, by closure."""
    for gs in grads:

        def closure(gs=gs):
            for p, g in zip(params, gs, strict=True):
                p.grad = g * (1 + p.detach())
            return torch.zeros(())

        optimizer.step(closure)
    return [p.detach().clone() for p in params]


@every_inner
@every_around
def test_a_resumed_run_is_the_run_never_interrupted(build, make, tmp_path):
    shapes = [(3, 4), (5,)]
    starts, grads = gradients(shapes, 1, seed=4)[0], gradients(shapes, 13)
    params = [nn.Parameter(p.clone()) for p in starts]
    whole = run(build(params, make), params, grads)
    params = [nn.Parameter(p.clone()) for p in starts]
    optimizer = build(params, make)
    run(optimizer, params, grads[:7])
    torch.save((optimizer.state_dict(), [p.detach() for p in params]), tmp_path / "state.pt")
    state, kept = torch.load(tmp_path / "state.pt", weights_only=True)
    params = [nn.Parameter(p) for p in kept]
    optimizer = build(params, make)
    optimizer.load_state_dict(state)
    assert_close(run(optimizer, params, grads[7:]), whole, **EXACT)


@every_around
@pytest.mark.parametrize("how", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_go_on_alone(build, how):
    (p,) = params = [nn.Parameter(torch.ones(3, dtype=torch.float64))]
    optimizer = build(params, Adam)
    (grads,) = gradients([(3,)] * 7, 1)
    run(optimizer, params, [[g] for g in grads[:4]])
    twin = how(optimizer)
    (q,) = twin.param_groups[0]["params"]
    assert q is not p
    before = p.detach().clone()
    ends = run(twin, [q], [[g] for g in grads[4:]])
    assert_close(p.detach(), before, **EXACT)
    assert_close(run(optimizer, params, [[g] for g in grads[4:]]), ends, **EXACT)


@every_inner
@every_around
def test_they_are_pytorch_optimizers(build, make):
    (p,) = params = [nn.Parameter(torch.ones(3, dtype=torch.float64))]
    optimizer = build(params, make)
    assert isinstance(optimizer, torch.optim.Optimizer)
    assert optimizer.param_groups is optimizer.optimizer.param_groups
    assert optimizer.state is optimizer.optimizer.state
    plan = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    calls = []
    optimizer.register_step_post_hook(lambda *_: calls.append("after"))
    run(optimizer, params, [[torch.ones(3)]])
    plan.step()
    assert optimizer.optimizer.param_groups[0]["lr"] == 0.05
    assert calls == ["after"]
    optimizer.zero_grad()
    assert p.grad is None
    optimizer.add_param_group({"params": [nn.Parameter(torch.ones(2))], "lr": 0.3})
    assert len(optimizer.param_groups) == 2
    assert type(optimizer).__name__ in repr(optimizer)
    average = PolyakAverage(optimizer)
    run(optimizer, params, [[torch.ones(3)]])
    with averaged(average):
        assert len(average.averages()) == 2


@every_around
def test_they_keep_the_contract_of_an_optimizer(build):
    """All that another optimizer in front does not change; SAM's step has two gradients."""

    class Made(type(build([nn.Parameter(torch.ones(1))], Adam))):
        def __init__(self, params, **options):
            first = (params, Adam) if issubclass(Made, SAM) else (Adam(params, **options), 1)
            super().__init__(*first, **(options if issubclass(Made, SAM) else {}))

    check_optimizer(
        Made,
        only=["state-hooks", "state-is-swapped-in", "state-in-memory", "state-in-a-file",
              "state-keeps-its-type", "deep-copy", "pickling", "schedulers", "named-parameters",
              "group-added-later", "duplicate-parameter", "no-parameters", "zero-grad"],
    )  # fmt: skip


def test_the_state_of_the_inner_optimizer_can_be_loaded_alone():
    params = [nn.Parameter(torch.ones(3))]
    inner = Adam(params, lr=0.1)
    run(inner, params, [[torch.ones(3)]])
    optimizer = GradientAccumulation(Adam([nn.Parameter(torch.ones(3))], lr=0.2), 2)
    optimizer.load_state_dict(inner.state_dict())
    assert optimizer.param_groups[0]["lr"] == 0.1
    assert optimizer.batches == 0
