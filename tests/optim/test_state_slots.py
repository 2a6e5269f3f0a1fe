"""State of every kind: scalars, starts that ask for hyperparameters, shapes of their own, none."""

import pytest
import torch
from optim_cases import gradients, stepped
from torch.testing import assert_close

from thalweg.optim import RULES, Engine, over_all, rule, slot

SHAPES = [(4, 3), (5,), (), (2500,)]
FORMS = ["each", "together", "blocks"]


@rule("pointwise")
def shrinking(
    p, g, product=slot("product", lambda p: torch.ones(()), scalar=True), *, t, lr=0.1, momentum=0.5
):
    """A step that shrinks by a factor which the state keeps as one number."""
    product = product * momentum / t
    return p - lr * float(product) * g, product


@pytest.mark.parametrize("form", FORMS)
def test_a_scalar_is_kept_for_each_parameter_and_shared_by_a_call(form):
    starts, grads = gradients(SHAPES, 1, seed=5)[0], gradients(SHAPES, 4)
    got, states = stepped(shrinking, starts, grads, form)
    expected, product = list(starts), 1.0
    for t, gs in enumerate(grads, 1):
        product *= 0.5 / t
        expected = [p - 0.1 * product * g for p, g in zip(expected, gs, strict=True)]
    assert_close(got, expected, rtol=1e-6, atol=1e-8)
    assert [float(s["product"]) for s in states] == pytest.approx([product] * len(SHAPES))


def test_parameters_whose_scalars_differ_go_apart():
    p, late = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    engine, state = Engine(shrinking, "each"), {p: {}, late: {}}
    with torch.no_grad():
        for step in range(3):
            p.grad = torch.ones(3)
            late.grad = torch.ones(3) if step else None
            engine.step([{"params": [p, late], **shrinking.settings()}], state)
    assert float(state[p]["product"]) == pytest.approx(0.5**3 / 6)
    assert float(state[late]["product"]) == pytest.approx(0.5**2 / 2)


def test_a_scalar_changed_from_outside_is_seen():
    p = torch.nn.Parameter(torch.zeros(3))
    engine, state, group = Engine(shrinking), {p: {}}, {"params": [p], **shrinking.settings()}
    with torch.no_grad():
        p.grad = torch.ones(3)
        engine.step([group], state)
        state[p]["product"].fill_(100.0)
        before = p.detach().clone()
        engine.step([group], state)
    assert_close(p.detach(), before - 0.1 * 100 * 0.5 / 2)


@rule("pointwise")
def placed(
    p,
    g,
    rate=slot("rate", lambda p, *, lr: torch.full_like(p, lr)),
    at=slot("at", lambda p, *, offset: offset + torch.arange(p.numel()).to(p).view_as(p)),
    *,
    lr=0.1,
):
    """A rate that starts at lr, and the coordinate's place among all."""
    return p - rate * g * at, rate, at


@pytest.mark.parametrize("form", FORMS)
def test_a_start_may_ask_for_hyperparameters_and_the_place(form):
    starts, grads = [torch.zeros(s) for s in SHAPES], [[torch.ones(s) for s in SHAPES]]
    got, states = stepped(placed, starts, grads, form, lr=0.25)
    every = torch.cat([s["at"].flatten() for s in states])
    assert_close(every, torch.arange(float(every.numel())))
    assert_close(torch.cat([p.flatten() for p in got]), -0.25 * every)


def test_places_count_across_groups_and_parameters_without_gradient():
    ps = [torch.nn.Parameter(torch.zeros(2)) for _ in range(3)]
    engine, state = Engine(placed), {p: {} for p in ps}
    ps[2].grad = torch.ones(2)
    with torch.no_grad():
        engine.step([{"params": [p], **placed.settings()} for p in ps], state)
    assert state[ps[2]]["at"].tolist() == [4.0, 5.0]


@rule()
def rowwise(
    p,
    g,
    rows=slot("rows", lambda p: p.new_zeros(p.shape[0]) if p.dim() == 2 else None),
    *,
    lr=0.1,
):
    """State for the rows of a matrix; a vector has none."""
    if rows is None:
        return p - lr * g, None
    rows = rows + g.abs().sum(1)
    return p - lr * g / rows[:, None], rows


@pytest.mark.parametrize("form", ["auto", "each"])
def test_state_may_have_a_shape_of_its_own_or_be_missing(form):
    shapes = [(4, 3), (3, 4), (5,), ()]
    starts, grads = gradients(shapes, 1, seed=5)[0], gradients(shapes, 3)
    got, states = stepped(rowwise, starts, grads, form)
    rows, expected = torch.zeros(4, dtype=torch.float64), starts[0]
    for gs in grads:
        rows = rows + gs[0].abs().sum(1)
        expected = expected - 0.1 * gs[0] / rows[:, None]
    assert_close(got[0], expected)
    assert_close(got[2], starts[2] - 0.1 * sum(gs[2] for gs in grads))
    assert [tuple(s["rows"].shape) if s else None for s in states] == [(4,), (3,), None, None]


def test_complex_parameters_are_refused_where_the_shape_matters():
    p = torch.nn.Parameter(torch.ones(3, 2, dtype=torch.complex64))
    p.grad = torch.ones_like(p)
    with pytest.raises(RuntimeError, match=r"rowwise does not support complex parameters.*as_real"):
        Engine(rowwise).step([{"params": [p], "lr": 0.1}], {p: {}})


def travelled(p, start, *, lr):
    """How far all parameters together have come, in steps of lr."""
    return sum(torch.sum((x - y) ** 2) for x, y in zip(p, start, strict=True)).sqrt() / lr


@rule("pointwise")
def wandering(p, g, start=slot("start", torch.clone), *, far=over_all(travelled), lr=0.1):
    """A step that grows with the distance travelled."""
    return p - lr * (1 + far) * g, start


@pytest.mark.parametrize("form", FORMS)
def test_a_number_of_all_parameters_may_be_made_of_their_state(form):
    starts, grads = gradients(SHAPES, 1, seed=5)[0], gradients(SHAPES, 3)
    got, _ = stepped(wandering, starts, grads, form)
    now = torch.cat([p.flatten() for p in starts])
    first = now.clone()
    for gs in grads:
        far = (now - first).norm() / 0.1
        now = now - 0.1 * (1 + far) * torch.cat([g.flatten() for g in gs])
    assert_close(torch.cat([p.flatten() for p in got]), now)


def counting(inner):
    """A wrapper with state of its own: every step is taken twice as far as the last."""

    def formula(p, g, *state, t, lr, **hyper):
        *state, seen = state
        new_p, *new = inner.formula(p, g, *state, t=t, lr=lr * 2**t, **hyper)
        return new_p, *new, seen + abs(g)

    return inner.wrapped("counting", formula, slots={"seen": slot("seen")}, counts_steps=True)


@pytest.mark.parametrize("form", FORMS)
def test_a_wrapper_may_add_state(form):
    starts, grads = gradients(SHAPES, 1, seed=5)[0], gradients(SHAPES, 3)
    got, states = stepped(counting(RULES["adam"]), starts, grads, form, lr=0.1)
    assert {*states[0]} == {"step", "exp_avg", "exp_avg_sq", "seen"}
    assert_close(states[0]["seen"], sum(gs[0].abs() for gs in grads))
    assert got[0].shape == SHAPES[0]


def test_state_is_not_named_twice():
    with pytest.raises(ValueError, match=r"counting\(counting\(adam\)\).*already has 'seen'"):
        counting(counting(RULES["adam"]))
