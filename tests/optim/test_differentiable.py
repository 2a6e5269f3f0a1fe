"""`differentiable=True`: gradients flow through steps, as through PyTorch's."""

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck
from torch.testing import assert_close

from thalweg.optim import OPTIMIZERS, SGD, Adam, AdamW, optimizer_class, over_all, rule, slot

MORE = {"sgd": {"momentum": 0.9}}
POINTWISE = [
    name
    for name, made in OPTIMIZERS.items()
    if "pointwise" in made.rule.facts
    and "differentiable" in made.standard
    and name not in ("prodigy",)  # refused: see below
]


def numbers(count, shape=(2, 3), seed=0, dtype=torch.float64):
    source = torch.Generator().manual_seed(seed)
    return [
        torch.randn(shape, generator=source, dtype=dtype).requires_grad_() for _ in range(count)
    ]


def unrolled(make, p, gs, **options):
    """Parameter and state after steps along gradients, with the graph."""
    p = p.clone()
    optimizer = make([p], differentiable=True, **options)
    for g in gs:
        p.grad = g
        optimizer.step()
    own = optimizer.state.get(p, {})
    return (p, *(own[k] for k in sorted(own) if own[k].requires_grad))


@pytest.mark.parametrize("name", POINTWISE)
def test_the_graph_through_three_steps_is_right(name):
    make, more = OPTIMIZERS[name], MORE.get(name, {})
    assert gradcheck(lambda p, *gs: unrolled(make, p, gs, **more), numbers(4))


@pytest.mark.parametrize("name", POINTWISE)
def test_a_recorded_step_is_the_step(name):
    make, more, (p, *gs) = OPTIMIZERS[name], MORE.get(name, {}), numbers(4)
    plain = nn.Parameter(p.detach().clone())
    optimizer = make([plain], form="each", **more)
    for g in gs:
        plain.grad = g.detach()
        optimizer.step()
    recorded = unrolled(make, p, gs, **more)[0]
    assert_close(recorded.detach(), plain.detach(), rtol=1e-14, atol=0)
    assert recorded.requires_grad


SETTINGS = [
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "maximize": True}),
    ("Adam", {"weight_decay": 0.1}),
    ("Adam", {"amsgrad": True, "maximize": True}),
    ("AdamW", {"weight_decay": 0.1}),
    ("Adagrad", {"lr_decay": 0.1}),
]


# In float64, because PyTorch computes with the count in its own type.
COUNT = torch.tensor(4.0, dtype=torch.float64)


def continued(make, p, g, moments, hyper):
    """One step from given moments, which PyTorch's SGD would otherwise cut from the graph."""
    p = p.clone()
    optimizer = make([p], differentiable=True, **hyper)
    for key, value in moments.items():
        optimizer.state[p][key] = value.clone()
    p.grad = g
    optimizer.step()
    return p


@pytest.mark.parametrize(("name", "hyper"), SETTINGS, ids=str)
def test_gradients_are_pytorchs(name, hyper):
    ends = []
    for library in (OPTIMIZERS[name.lower()], getattr(torch.optim, name)):
        p, g, m, v = numbers(4)
        moments = {
            "SGD": {"momentum_buffer": m} if "momentum" in hyper else {},
            "Adagrad": {"step": COUNT, "sum": v**2},
        }.get(name, {"step": COUNT, "exp_avg": m, "exp_avg_sq": v**2})
        if hyper.get("amsgrad"):
            moments["max_exp_avg_sq"] = 2 * v**2
        after = continued(library, p, g, moments, hyper)
        after.pow(3).sum().backward()
        ends.append([after.detach(), *(x.grad for x in (p, g, m, v))])
    assert_close(*ends, rtol=1e-12, atol=0)


HYPER = [
    (SGD, ("lr", "weight_decay"), {"momentum": 0.9}),
    (SGD, ("lr", "momentum"), {}),
    (Adam, ("lr", "eps", "weight_decay"), {}),
    (AdamW, ("lr", "weight_decay"), {}),
]


@pytest.mark.parametrize(("make", "names", "fixed"), HYPER, ids=str)
def test_hyperparameters_may_have_gradients(make, names, fixed):
    def end(*values):
        p, *gs = (x.detach() for x in numbers(4))
        hyper = dict(zip(names, values, strict=True))
        return unrolled(make, p, gs, **hyper, **fixed)[0]

    values = [torch.tensor(0.1 + 0.1 * at, dtype=torch.float64) for at in range(len(names))]
    assert gradcheck(end, [x.requires_grad_() for x in values])


def test_betas_may_have_gradients():
    def end(*betas):
        p, *gs = (x.detach() for x in numbers(4))
        return unrolled(Adam, p, gs, betas=betas)[0]

    betas = [torch.tensor(b, dtype=torch.float64).requires_grad_() for b in (0.8, 0.9)]
    assert gradcheck(end, betas)


def test_a_learning_rate_is_learned_through_training():
    """What it is for: the derivative of a loss after training by the learning rate."""

    def loss_after(lr, steps=5):
        p = torch.tensor([1.0, -2.0], dtype=torch.float64).requires_grad_().clone()
        optimizer = SGD([p], lr=lr, differentiable=True)
        for _ in range(steps):
            now = p.clone()  # the step writes to p, and autograd has kept what the loss saw
            (p.grad,) = torch.autograd.grad((now**2).sum() / 2, now, create_graph=True)
            optimizer.step()
        return (p**2).sum() / 2

    lr = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    loss_after(lr).backward()
    # p_5 = (1 - lr)^5 p_0, so that the loss is (1 - lr)^10 |p_0|^2 / 2
    assert float(lr.grad) == pytest.approx(-10 * 0.9**9 * 5 / 2)


def test_complex_parameters_are_recorded_too():
    source = torch.Generator().manual_seed(0)
    xs = [torch.randn(3, generator=source, dtype=torch.complex128).requires_grad_() for _ in "pgg"]
    assert gradcheck(lambda p, *gs: unrolled(Adam, p, gs)[0], xs)


def distance(p, start):
    return sum(((x - y) ** 2).sum() for x, y in zip(p, start, strict=True))


@rule("pointwise")
def wandering(p, g, start=slot("start", torch.clone), *, far=over_all(distance), lr=0.1):
    """A step that depends on all parameters."""
    return p - lr * (1 + far) * g, start


def test_numbers_of_all_parameters_have_their_graph():
    make = optimizer_class("Wandering", wandering)
    assert gradcheck(lambda p, *gs: unrolled(make, p, gs), numbers(4))


def test_numbers_without_a_graph_are_refused():
    p, *gs = numbers(2)
    with pytest.raises(RuntimeError, match=r"Prodigy\(differentiable=True\).*no gradient flows"):
        unrolled(OPTIMIZERS["prodigy"], p, gs)


@rule("pointwise")
def normed(p, g, size=slot("size", lambda p: torch.zeros(()), scalar=True), *, lr=0.1):
    """A number made of the gradient, which the state keeps."""
    return p - lr * g, size + g.sum()


def test_a_number_that_would_need_a_gradient_is_refused():
    make = optimizer_class("Normed", normed)
    p, *gs = numbers(2)
    with pytest.raises(RuntimeError, match=r"Normed\(differentiable=True\): normed keeps size as"):
        unrolled(make, p, gs)


def test_hyperparameters_of_a_rule_for_whole_tensors_are_numbers():
    @rule()
    def tensorwise(p, g, *, lr=0.1):
        """A step of one length."""
        return (p - lr * g / g.norm(),)

    make = optimizer_class("Tensorwise", tensorwise)
    assert gradcheck(lambda p, *gs: unrolled(make, p, gs), numbers(3))
    p, *gs = numbers(2)
    with pytest.raises(RuntimeError, match="tensorwise takes its hyperparameters as numbers"):
        unrolled(make, p, gs, lr=torch.tensor(0.1).requires_grad_())


def test_leaves_are_refused_before_anything_changes():
    p = nn.Parameter(torch.ones(2))
    optimizer = Adam([p], differentiable=True)
    p.grad = torch.ones(2)
    with pytest.raises(RuntimeError, match=r"Adam\(differentiable=True\).step\(\).*p.clone\(\)"):
        optimizer.step()
    assert p.tolist() == [1.0, 1.0]
    assert not optimizer.state


REFUSED = [
    ({"form": "blocks"}, r"Adam\(differentiable=True, form='blocks'\)"),
    ({"rounding": "kahan"}, r"Adam\(differentiable=True, rounding='kahan'\)"),
    ({"state_dtype": torch.float32}, r"Adam\(differentiable=True, state_dtype=torch.float32\)"),
]


@pytest.mark.parametrize(("options", "words"), REFUSED, ids=str)
def test_what_is_not_recorded_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        Adam([nn.Parameter(torch.ones(2))], differentiable=True, **options)
