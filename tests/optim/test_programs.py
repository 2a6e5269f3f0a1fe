"""A formula written down: what it reads, single operations in place, and what is left as it was."""

import pytest
import torch
from optim_cases import gradients, stepped
from torch import nn
from torch.testing import assert_close

from thalweg.optim import SGD, Adam, Engine, rule
from thalweg.optim.forms.blocks import in_blocks
from thalweg.optim.forms.listed import listed
from thalweg.optim.forms.program import record

SHAPES = [(3,), (4, 5), ()]
EXACT = {"rtol": 0, "atol": 0}

# Formulas of one operation; the last ones cannot be done in place.
SINGLE = {
    "add": lambda p, g, *, lr: (torch.add(p, g, alpha=-lr),),
    "sub": lambda p, g, *, lr: (torch.sub(p, g, alpha=lr),),
    "mul": lambda p, g, *, lr: (torch.mul(p, g),),
    "lerp": lambda p, g, *, lr: (torch.lerp(p, g, lr),),
    "addcmul": lambda p, g, *, lr: (torch.addcmul(p, g, g, value=-lr),),
    "addcdiv": lambda p, g, *, lr: (torch.addcdiv(p, g, g, value=-lr),),
    "into the gradient": lambda p, g, *, lr: (torch.add(g, p, alpha=lr),),
    "another function": lambda p, g, *, lr: (torch.maximum(p, g),),
}


def rule_of(formula):
    def one(p, g, *, lr=0.3):
        """One operation."""
        return formula(p, g, lr=lr)

    return rule("pointwise")(one)


@pytest.mark.parametrize("name", SINGLE)
def test_a_single_operation_is_done_to_all(name):
    one, (first, *grads) = rule_of(SINGLE[name]), gradients(SHAPES, 4)
    got, _ = stepped(one, first, grads, "blocks")
    assert_close(got, stepped(one, first, grads)[0], **EXACT)
    program, *_ = record(SINGLE[name], [True, True], {"lr": 0.3})
    assert (listed(program) is None) == (name in ("into the gradient", "another function"))


def test_a_gradient_is_no_place_for_a_result():
    p = nn.Parameter(torch.ones(3))
    p.grad = torch.full((3,), 2.0)
    engine_step(rule_of(SINGLE["into the gradient"]), p)
    assert_close(p.grad, torch.full((3,), 2.0), **EXACT)


def engine_step(one, p):
    with torch.no_grad():
        Engine(one, "blocks").step([{"params": [p], **one.settings()}], {p: {}})


def test_what_is_named_is_read_too():
    def formula(p, g):
        twice, thrice = p * 2.0, g * 3.0
        return (torch.add(thrice * thrice, other=twice),)

    p, g = (torch.arange(5.0) + shift for shift in (1, 2))
    expected = formula(p, g)[0]
    program, numbers, scalars = record(formula, [True, True], {})
    in_blocks(program)([([p, g], [p])], numbers, scalars)
    assert_close(p, expected, **EXACT)


def test_the_number_of_threads_is_left_as_it_was():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        p = nn.Parameter(torch.ones(3))
        p.grad = torch.ones(3)
        Adam([p], form="blocks").step()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("make", [SGD, Adam])
@pytest.mark.parametrize("form", ["each", "together", "blocks"])
def test_a_rate_may_be_a_tensor_of_one_element(make, form):
    ends = []
    for lr in (0.1, torch.tensor([0.1], dtype=torch.float64)):
        params = [nn.Parameter(torch.ones(shape, dtype=torch.float64)) for shape in SHAPES]
        optimizer = make(params, lr=lr, form=form)
        for grads in gradients(SHAPES, 3):
            for p, g in zip(params, grads, strict=True):
                p.grad = g
            optimizer.step()
        ends.append([p.detach() for p in params])
    assert_close(*ends, rtol=1e-12, atol=1e-14)
