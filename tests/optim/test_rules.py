"""Every rule: equal to its reference, pure, and as good as its facts."""

import pytest
import torch
from optim_cases import EVERY_RULE, STILL, active, after, gradients, settings, stepped
from optim_laws import LAWS
from optim_references import REFERENCES
from torch.testing import assert_close

from thalweg.optim import GLOSSARY, RULES, Engine
from thalweg.optim.hyperparameters import check
from thalweg.optim.rule import FACTS

every_rule = pytest.mark.parametrize("rule", EVERY_RULE.values(), ids=EVERY_RULE.keys())


def case(*shape, steps=7, seed=3):
    shape = shape or (6,)
    p = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return p, [g[0] for g in gradients([shape], steps, seed)]


def test_every_rule_has_a_reference_and_every_fact_a_law():
    assert REFERENCES.keys() == RULES.keys()
    assert LAWS.keys() == set(FACTS)


@pytest.fixture
def double():
    """Scalars of the state are kept in the default type, as PyTorch keeps them."""
    known = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(known)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.usefixtures("double")
def test_rules_match_their_references(name):
    for hyper in settings(RULES[name]):
        assert_close(*CHECKS[kind(name)](name, hyper), rtol=1e-10, atol=1e-12)


def kind(name):
    if getattr(REFERENCES[name], "ALL", False):
        return "all together"
    return "coordinate" if "pointwise" in RULES[name].facts else "tensor"


def coordinate_by_coordinate(name, hyper, steps=200):
    p, grads = case(steps=steps)
    reference = REFERENCES[name].reference
    expected = [
        reference(float(x), g.tolist(), **hyper) for x, g in zip(p, columns(grads), strict=True)
    ]
    return after(RULES[name], p, grads, **hyper), torch.tensor(expected, dtype=torch.float64)


def columns(grads):
    return torch.stack(grads).T


def tensor_by_tensor(name, hyper, steps=200):
    shapes = getattr(REFERENCES[name], "SHAPES", SHAPES)
    starts, grads = gradients(shapes, 1, seed=5)[0], gradients(shapes, steps)
    reference = REFERENCES[name].reference
    expected = [reference(p, [gs[i] for gs in grads], **hyper) for i, p in enumerate(starts)]
    return stepped(RULES[name], starts, grads, **hyper)[0], expected


def all_together(name, hyper, steps=200):
    shapes = getattr(REFERENCES[name], "SHAPES", SHAPES)
    starts, grads = gradients(shapes, 1, seed=5)[0], gradients(shapes, steps)
    return (
        stepped(RULES[name], starts, grads, **hyper)[0],
        REFERENCES[name].reference(starts, grads, **hyper),
    )


CHECKS = {
    "coordinate": coordinate_by_coordinate,
    "tensor": tensor_by_tensor,
    "all together": all_together,
}
SHAPES = [(4, 3), (5,), (), (2, 3, 2)]


@every_rule
@pytest.mark.parametrize("fact", FACTS)
def test_a_rule_has_exactly_the_facts_that_hold(rule, fact):
    p, grads = case(3, 4)
    if fact in rule.facts:
        LAWS[fact](rule, p, grads, active(rule))
    else:
        with pytest.raises(AssertionError):
            LAWS[fact](rule, p, grads, active(rule))


def some_state(slot, p, known):
    """Any numbers in the shape that the slot has for this parameter."""
    first = slot.begin(p, known)
    return first if first is None else torch.rand(first.shape).to(first.dtype)


@every_rule
def test_formulas_are_pure(rule):
    hyper = active(rule)
    p, grads = case(3, 4, steps=2)
    state = [some_state(s, p, {**hyper, "offset": 0}) for s in rule.slots]
    count = {"t": 3.0} if rule.counts_steps else {}
    columns = {s.argument: [x] for s, x in zip(rule.slots, state, strict=True)}
    columns |= {"p": [p], "g": [grads[0]]}
    known = {n: over.of({**hyper, **count, **columns}) for n, over in rule.summaries.items()}
    known |= count
    given = [x for x in (p, grads[0], *state) if x is not None]
    before = [x.clone() for x in given]
    first = rule(p, grads[0], *state, **hyper, **known)
    second = rule(p, grads[0], *state, **hyper, **known)
    assert_close(given, before, rtol=0, atol=0)
    assert_close(first, second, rtol=0, atol=0, equal_nan=True)  # state by chance may not belong
    assert len(first) == 1 + len(rule.slots)


@every_rule
def test_nothing_moves_where_nothing_pulls(rule):
    p, _ = case()
    hyper = {name: STILL.get(name, value) for name, value in active(rule).items()}
    assert_close(after(rule, p, [torch.zeros_like(p)] * 3, **hyper), p, rtol=0, atol=0)


@pytest.mark.parametrize("name", RULES)
def test_rules_descend_a_bowl(name):
    curvatures = torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64)
    p = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
    hyper = {"lr": 1e-3, **getattr(REFERENCES[name], "BOWL", {})}
    group, state, losses = {"params": [p], **RULES[name].settings(**hyper)}, {p: {}}, []
    engine = Engine(RULES[name])
    with torch.no_grad():
        for _ in range(100):
            losses.append(float((curvatures * p**2).sum() / 2))
            p.grad = curvatures * p
            engine.step([group], state)
    assert losses == sorted(losses, reverse=True)


@every_rule
def test_hyperparameters_are_in_the_glossary_with_allowed_defaults(rule):
    for name, default in rule.hyperparameters.items():
        assert name in GLOSSARY
        check(rule.name, {name: default}, rule.terms)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_rules_are_documented(rule):
    for heading in ("Idea:", "Formula:", "Why:", "When:", "Convention:", "Reference:"):
        assert heading in rule.doc
