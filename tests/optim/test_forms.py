"""The forms agree: bit by bit on vectors and lists, within rounding where compiled."""

import pytest
import torch
from optim_cases import EVERY_RULE, SHAPES, active, gradients, stepped
from torch.testing import assert_close

from thalweg.optim import RULES, Engine, rule, slot
from thalweg.optim import engine as engine_module
from thalweg.optim.forms.batch import Batch
from thalweg.optim.forms.blocks import in_blocks, schedule
from thalweg.optim.forms.program import record
from thalweg.optim.forms.vectors import flat

POINTWISE = [one for one in RULES.values() if "pointwise" in one.facts]
PARAMS = gradients(SHAPES, 1, seed=9)[0]


def assert_same(one, other, **tolerance):
    (params, states), (others, other_states) = one, other
    assert_close(params, others, **tolerance)
    assert [s.keys() for s in states] == [s.keys() for s in other_states]
    assert_close(states, other_states, **tolerance)


def forms_of(rule):
    return ("auto", "together", "blocks") if "pointwise" in rule.facts else ("auto",)


FORMS_OF_RULES = [(r, form) for r in EVERY_RULE.values() for form in forms_of(r)]


@pytest.mark.parametrize(
    ("rule", "form"), FORMS_OF_RULES, ids=[f"{r.name}-{form}" for r, form in FORMS_OF_RULES]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_forms_agree_bit_by_bit(rule, form, dtype):
    params = [p.to(dtype) for p in PARAMS]
    grads, hyper = gradients(SHAPES, 4, dtype=dtype), active(rule)
    plain = stepped(rule, params, grads, **hyper)
    assert_same(stepped(rule, params, grads, form, **hyper), plain, rtol=0, atol=0)


ARITHMETIC = {
    "x + 2": lambda x: x + 2,
    "2 + x": lambda x: 2 + x,
    "x - 2": lambda x: x - 2,
    "2 - x": lambda x: 2 - x,
    "x * 3": lambda x: x * 3,
    "3 * x": lambda x: 3 * x,
    "x / 3": lambda x: x / 3,
    "3 / x": lambda x: 3 / x,
    "x**3": lambda x: x**3,
    "-x": lambda x: -x,
    "abs(x)": abs,
    "x < 2": lambda x: x < 2,
    "x <= 2": lambda x: x <= 2,
    "x > 2": lambda x: x > 2,
    "x >= 2": lambda x: x >= 2,
    "x @ x": lambda x: x @ x,
}


@pytest.mark.parametrize("formula", ARITHMETIC.values(), ids=ARITHMETIC.keys())
def test_what_stands_for_a_tensor_has_its_arithmetic(formula):
    xs = [torch.tensor([-1.0, 2.0, 7.0]), torch.tensor([0.3, 0.1, -0.7])]
    got = formula(Batch(xs)).tensors
    assert_close(got, [formula(x) for x in xs], rtol=0, atol=0)


def test_small_parameters_fill_more_than_one_vector(monkeypatch):
    monkeypatch.setattr("thalweg.optim.forms.vectors.JOINED", 8)
    first, *grads = gradients([(3,), (4,), (5,), (2,), (8,), (1,)], 4)
    plain = stepped(RULES["adam"], first, grads)
    assert_same(stepped(RULES["adam"], first, grads, "blocks"), plain, rtol=0, atol=0)


def test_what_lies_between_parameters_is_left_alone():
    memory, (grads,) = torch.ones(10), gradients([(4,), (5,)], 1, dtype=torch.float32)
    params = [torch.nn.Parameter(memory[:4]), torch.nn.Parameter(memory[5:])]
    for p, g in zip(params, grads, strict=True):
        p.grad = g
    with torch.no_grad():
        group = {"params": params, **RULES["sgd"].settings(lr=0.1, momentum=0.9)}
        Engine(RULES["sgd"], "blocks").step([group], {p: {} for p in params})
    expected = torch.cat([1 - 0.1 * grads[0], torch.ones(1), 1 - 0.1 * grads[1]])
    assert_close(memory, expected)


def test_a_tensor_without_gaps_is_a_vector_in_the_order_of_memory():
    memory = torch.arange(24.0)
    x = memory.view(2, 3, 4).permute(2, 0, 1)
    assert flat(x).data_ptr() == memory.data_ptr()
    assert_close(flat(x), memory, rtol=0, atol=0)


@pytest.mark.parametrize("form", ["auto", "each", "together", "blocks"])
def test_types_in_one_group_go_apart(form):
    kinds, one = (torch.float32, torch.float64, torch.bfloat16), RULES["adam"]
    mixed = lambda xs: [x.to(kinds[i % 3]) for i, x in enumerate(xs)]
    params, grads = mixed(PARAMS[:6]), [mixed(gs[:6]) for gs in gradients(SHAPES, 3)]
    got, states = stepped(one, params, grads, form)
    for i, p in enumerate(params):
        assert_same(
            (got[i : i + 1], states[i : i + 1]),
            stepped(one, [p], [[gs[i]] for gs in grads], form),
            rtol=0,
            atol=0,
        )


@pytest.mark.parametrize("form", ["auto", "each", "together"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_agrees_too(form, dtype):
    params, grads = [p.to(dtype) for p in PARAMS], gradients(SHAPES, 4, dtype=dtype)
    for one in POINTWISE:
        hyper = active(one) | ({"eps": 1e-3} if "eps" in one.hyperparameters else {})
        plain = stepped(one, params, grads, **hyper)  # an eps of 1e-8 is zero in float16
        assert_same(stepped(one, params, grads, form, **hyper), plain, rtol=0, atol=0)


@pytest.mark.parametrize("form", ["each", "together", "blocks"])
def test_complex_parameters_are_pairs_of_reals(form):
    shapes = [(3, 2), (2500,)]
    grads = gradients([(*s, 2) for s in shapes], 5)
    start = gradients([(*s, 2) for s in shapes], 1, seed=5)[0]
    as_complex = [[torch.view_as_complex(g) for g in gs] for gs in grads]
    for one in POINTWISE:
        reals, _ = stepped(one, start, grads, **active(one))
        got, states = stepped(
            one, list(map(torch.view_as_complex, start)), as_complex, form, **active(one)
        )
        assert_close([torch.view_as_real(p) for p in got], reals, rtol=0, atol=0)
        tensors = [x.name for x in one.slots if not x.scalar]
        assert all(s[name].is_complex() for s in states for name in tensors)


@pytest.mark.parametrize("form", ["auto", "each", "together", "blocks"])
def test_the_layout_of_memory_does_not_matter(form):
    grads = [[g[0]] for g in gradients([(4, 3, 50, 5)], 3)]
    (start,) = gradients([(4, 3, 50, 5)], 1, seed=5)[0]
    layouts = {
        "channels last": lambda x: x.contiguous(memory_format=torch.channels_last),
        "transposed": lambda x: x.transpose(0, 3).contiguous().transpose(0, 3),
        "with gaps": lambda x: torch.stack([x, x], dim=-1)[..., 0],
    }
    for one in POINTWISE:
        (plain,), _ = stepped(one, [start], grads, **active(one))
        for lay in layouts.values():
            for lay_gradient in (lay, torch.clone):
                p = torch.nn.Parameter(lay(start))
                engine, state = Engine(one, form), {p: {}}
                with torch.no_grad():
                    for (g,) in grads:
                        p.grad = lay_gradient(g)
                        engine.step([{"params": [p], **active(one)}], state)
                assert_close(p.detach(), plain, rtol=0, atol=0)


@rule("pointwise")
def swapping(p, g, a=slot("a"), b=slot("b", torch.ones_like), *, lr=1.0):
    """Hands its inputs round: a result is another's old input."""
    return a + lr * g, b, p


@pytest.mark.parametrize("form", ["each", "together", "blocks"])
def test_a_result_may_be_an_old_input(form):
    (p,), (state,) = stepped(swapping, [torch.full((3000,), 5.0)], [[torch.ones(3000)]] * 2, form)
    # p: 5 -> 0 + 1 -> 1 + 1;  a: 0 -> 1 -> 5;  b: 1 -> 5 -> 1
    assert [float(x[7]) for x in (p, state["a"], state["b"])] == [2.0, 5.0, 1.0]


def random_formula(source):
    """A formula of random operations over p, g and two slots."""
    draws = [torch.randint(0, 1000, (4,), generator=source).tolist() for _ in range(8)]
    ends = torch.randint(0, 12, (3,), generator=source).tolist()

    choices = (
        lambda x, y, z, lr: torch.add(x, y, alpha=-lr),
        lambda x, y, z, lr: torch.lerp(x, y, lr),
        lambda x, y, z, lr: torch.addcmul(x, y, z, value=lr),
        lambda x, y, z, lr: torch.maximum(x, y) - lr * z,
        lambda x, y, z, lr: x * lr,
        lambda x, y, z, lr: -y,
        lambda x, y, z, lr: torch.where(x > y, z, x),
    )

    def formula(*inputs, lr):
        values = list(inputs)
        for kind, *at in draws:
            operands = (values[i % len(values)] for i in at)
            values.append(choices[kind % len(choices)](*operands, lr))
        return tuple(values[i] for i in ends)

    return formula


@pytest.mark.parametrize("seed", range(150))
def test_blocks_overwrite_nothing_that_is_needed(seed, monkeypatch):
    monkeypatch.setattr("thalweg.optim.forms.blocks.BLOCK", 8)
    source = torch.Generator().manual_seed(seed)
    formula = random_formula(source)
    inputs = list(torch.randn(4, 19, generator=source, dtype=torch.float64).clone().unbind())
    expected = [x.clone() for x in formula(*inputs, lr=0.3)]
    program, numbers, scalars = record(formula, [True] * 4, {"lr": 0.3})
    in_blocks(program)([(inputs, [inputs[0], *inputs[2:]])], numbers, scalars)
    assert_close([inputs[0], *inputs[2:]], expected, rtol=0, atol=0)


def test_blocks_need_no_more_scratch_than_pytorch_written_by_hand():
    hyper = RULES["adam"].settings(amsgrad=True)
    program, *_ = record(RULES["adam"].formula, [True] * 5, {**hyper, "t": 1.0})
    assert schedule(program).scratch == 1
    assert not schedule(program).copies


def test_numbers_are_no_part_of_a_program():
    formula = RULES["adam"].formula
    programs = {
        record(formula, [True] * 4 + [False], {**RULES["adam"].settings(lr=lr), "t": t})[0]
        for lr, t in ((1e-3, 1.0), (1e-2, 2.0), (0.0, 9.0))
    }
    assert len(programs) == 1


@rule("odd")
def whole(p, g, *, lr=1e-3):
    """Not pointwise: the step depends on the gradient's length."""
    return (p - lr * g / torch.linalg.vector_norm(g),)


@pytest.mark.parametrize(
    "one, shapes, dtype, expected",
    [
        (RULES["adam"], [(3,)] * 2, torch.float32, "joined"),
        (RULES["adam"], [(3000,)], torch.float32, "joined"),
        (RULES["adam"], [(3000,)], torch.bfloat16, "each"),
        (whole, [(3,)] * 7, torch.float32, "each"),
    ],
    ids=["small", "large", "half precision", "not pointwise"],
)
def test_auto_chooses_what_is_quickest_and_exact(one, shapes, dtype, expected, monkeypatch):
    used = set()
    for name in ("each", "together", "joined"):
        genuine = getattr(engine_module, name)
        spy = lambda *xs, name=name, genuine=genuine: used.add(name) or genuine(*xs)
        monkeypatch.setattr(engine_module, name, spy)
    stepped(
        one, [torch.ones(s, dtype=dtype) for s in shapes], gradients(shapes, 2, dtype=dtype), "auto"
    )
    assert used == {expected}


def test_forms_that_a_rule_does_not_permit_are_refused():
    with pytest.raises(ValueError, match=r"whole is not declared pointwise.*form='auto'"):
        Engine(whole, "blocks")
    with pytest.raises(ValueError, match=r"form='fused'.*Choose among|Did you mean"):
        Engine(whole, "fused")
