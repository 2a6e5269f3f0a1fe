"""Wrappers: what each does to a rule, against the same thing done by hand or by PyTorch."""

import pytest
import torch
from optim_cases import ACTIVE, SAMPLES, WRAPPERS, active, gradients, stepped
from torch.testing import assert_close

from thalweg.optim import (
    RULES,
    clip_by_global_norm,
    clip_by_value,
    decoupled,
    l2,
    maximize,
    optimizer_class,
    schedule_free,
    weight_decay,
)
from thalweg.optim.hyperparameters import check

SHAPES = [(4, 3), (5,)]
every_rule = pytest.mark.parametrize("rule", SAMPLES.values(), ids=SAMPLES.keys())


def by_hand(rule, params, grads, change_g=lambda p, g: g, change_p=lambda p: p):
    """The rule's formula on one parameter at a time, with a change made from outside."""
    hyper, ends = active(rule), []
    for index, p in enumerate(params):
        slots = [s if s.is_open(hyper) else None for s in rule.slots]
        known = {**hyper, "offset": 0}
        state = [s.begin(p, known) if s and s.start else None for s in slots]
        for t, gs in enumerate(grads, 1):
            count = {"t": float(t)} if rule.counts_steps else {}
            p, *state = rule(change_p(p), change_g(p, gs[index]), *state, **hyper, **count)
        ends.append(p)
    return ends


@pytest.fixture
def start():
    return gradients(SHAPES, 1, seed=4)[0]


@pytest.fixture
def grads():
    return gradients(SHAPES, 5)


@every_rule
def test_l2_is_the_gradient_of_a_penalty(rule, start, grads):
    def with_penalty(p, g):
        q = p.clone().requires_grad_()
        penalty = torch.autograd.grad(0.1 / 2 * (q**2).sum(), q)[0]
        return g + penalty

    got, _ = stepped(l2(rule), start, grads, **active(rule), weight_decay=0.1)
    assert_close(got, by_hand(rule, start, grads, with_penalty), rtol=1e-12, atol=1e-14)


@every_rule
def test_decoupled_decay_is_a_shrinking_of_its_own(rule, start, grads):
    shrink = 1 - active(rule)["lr"] * 0.1
    got, _ = stepped(decoupled(rule), start, grads, **active(rule), weight_decay=0.1)
    by = by_hand(rule, start, grads, change_p=lambda p: shrink * p)
    assert_close(got, by, rtol=1e-12, atol=1e-14)


@every_rule
@pytest.mark.parametrize(("flag", "way"), [(False, l2), (True, decoupled)])
def test_weight_decay_is_either(rule, flag, way, start, grads):
    hyper = {**active(rule), "weight_decay": 0.1}
    both = stepped(weight_decay(rule), start, grads, **hyper, decoupled_weight_decay=flag)
    assert_close(both, stepped(way(rule), start, grads, **hyper), rtol=0, atol=0)


@every_rule
def test_maximize_climbs(rule, start, grads):
    got, _ = stepped(maximize(rule), start, grads, **active(rule), maximize=True)
    against = [[-g for g in gs] for gs in grads]
    assert_close(got, stepped(rule, start, against, **active(rule))[0], rtol=0, atol=0)


@every_rule
@pytest.mark.parametrize("form", ["each", "together", "blocks"])
@pytest.mark.parametrize("max_norm", [0.5, 3.0, 1e6])
def test_clipping_by_norm_is_pytorchs(rule, max_norm, form, start, grads):
    clipped = []
    for gs in grads:
        ps = [torch.nn.Parameter(p) for p in start]
        for p, g in zip(ps, gs, strict=True):
            p.grad = g.clone()
        torch.nn.utils.clip_grad_norm_(ps, max_norm)
        clipped.append([p.grad for p in ps])
    made = clip_by_global_norm(rule)
    got, _ = stepped(made, start, grads, form, **active(rule), max_norm=max_norm)
    assert_close(got, stepped(rule, start, clipped, **active(rule))[0], rtol=1e-12, atol=1e-14)


@every_rule
def test_clipping_by_value_is_pytorchs(rule, start, grads):
    for gs in (cut := [[g.clone() for g in gs] for gs in grads]):
        for g in gs:
            g.clamp_(-0.5, 0.5)
    got, _ = stepped(clip_by_value(rule), start, grads, **active(rule), clip_value=0.5)
    assert_close(got, stepped(rule, start, cut, **active(rule))[0], rtol=0, atol=0)


@every_rule
def test_the_outermost_wrapper_acts_first(rule, start, grads):
    hyper = {**active(rule), "weight_decay": 0.1, "clip_value": 0.5}
    inner, _ = stepped(l2(clip_by_value(rule)), start, grads, **hyper)  # the sum is clipped
    outer, _ = stepped(clip_by_value(l2(rule)), start, grads, **hyper)  # the gradient is
    cut = lambda p, g: g.clamp(-0.5, 0.5) + 0.1 * p
    assert_close(outer, by_hand(rule, start, grads, cut), rtol=1e-12, atol=1e-14)
    cut = lambda p, g: (g + 0.1 * p).clamp(-0.5, 0.5)
    assert_close(inner, by_hand(rule, start, grads, cut), rtol=1e-12, atol=1e-14)


# What makes a wrapper do nothing.
OFF = {
    "weight_decay": 0.0,
    "l1_penalty": 0.0,
    "rescaling": 1.0,
    "max_norm": None,
    "max_tensor_norm": None,
    "max_unit_norm": None,
    "clip_value": None,
    "clip_factor": None,
    "clip_percentile": None,
    "lookahead_alpha": 1.0,
}

# Those whose purpose is another step, or which ask something of the rule.
SWITCHED = [w for w in WRAPPERS if w.__name__ not in ("schedule_free", "cautious", "mars")]


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_a_wrapper_that_is_off_leaves_every_rule_as_it_is(rule, start, grads):
    """With state of any kind: scalars, shapes of its own, none, numbers of all parameters."""
    alone, states = stepped(rule, start, grads, **active(rule))
    for wrapper in SWITCHED:
        if {"weight_decay"} <= rule.hyperparameters.keys() & wrapper(
            RULES["sgd"]
        ).hyperparameters.keys():
            with pytest.raises(ValueError, match=r"already has 'weight_decay'. Wrap it once"):
                wrapper(rule)
            continue
        made = wrapper(rule)
        off = {
            k: v for k, v in OFF.items() if k in made.hyperparameters.keys() - rule.hyperparameters
        }
        got, kept = stepped(made, start, grads, **active(rule), **off)
        assert_close(got, alone, rtol=0, atol=0, msg=made.name)
        for own, more in zip(states, kept, strict=True):
            assert_close({k: more[k] for k in own}, own, rtol=0, atol=0, msg=made.name)


WITHOUT_DECAY = [r for r in RULES.values() if "weight_decay" not in r.hyperparameters]


@pytest.mark.parametrize("rule", WITHOUT_DECAY, ids=lambda rule: rule.name)
def test_schedule_free_walks_on_z_as_the_rule_alone_would(rule, start, grads):
    """At fixed gradients, of which it does not matter where they are taken."""
    alone, _ = stepped(rule, start, grads, **active(rule))
    _, states = stepped(schedule_free(rule), start, grads, **active(rule))
    assert_close([state["z"] for state in states], alone, rtol=0, atol=0)


@pytest.mark.parametrize("wrapper", WRAPPERS, ids=lambda wrapper: wrapper.__name__)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_wrapped_optimizer_resumes_from_a_file(wrapper, dtype, start, tmp_path):
    Wrapped = optimizer_class("Wrapped", wrapper(RULES["adam"]))
    hyper = {k: v for k, v in ACTIVE.items() if k in wrapper(RULES["adam"]).hyperparameters}
    grads = gradients(SHAPES, 11, dtype=dtype)

    def walk(params, gradients, state=None):
        optimizer = Wrapped(params, **hyper)
        if state:
            optimizer.load_state_dict(state)
        for gs in gradients:
            for p, g in zip(params, gs, strict=True):
                p.grad = g.clone()
            optimizer.step()
        return optimizer.state_dict()

    whole, parts = ([torch.nn.Parameter(p.to(dtype)) for p in start] for _ in range(2))
    walk(whole, grads)
    torch.save(walk(parts, grads[:6]), tmp_path / "state.pt")
    walk(parts, grads[6:], torch.load(tmp_path / "state.pt", weights_only=True))
    assert_close(parts, whole, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["max_norm", "clip_value", "max_tensor_norm", "max_unit_norm"])
def test_bounds_are_above_zero_or_off(name):
    for bound in (None, 1e-6):
        check("clip", {name: bound})
    with pytest.raises(ValueError, match=rf"Invalid {name} value: 0.0.*must be > 0, or None"):
        check("clip", {name: 0.0})
