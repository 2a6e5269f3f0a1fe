"""A program's numbers, computed without running the formula: the same, or not at all."""

import math

import pytest
import torch
from optim_cases import EVERY_RULE, active

from thalweg.optim.forms.numbers import Ledger, plain
from thalweg.optim.forms.program import record
from thalweg.optim.forms.recipes import BRANCHES, Recipes


def known(formula, hyper, steps):
    """The recipes after some steps, each held to what the formula itself says."""
    recipes = Recipes(formula)
    for t in steps:
        asked = {**hyper, "t": float(t)}
        assert recipes.at((True, True), asked) == record(formula, (True, True), asked)
    return list(recipes.known.values())


def warmed(p, g, *, t, lr, warm):
    return torch.add(p, g, alpha=-lr * min(1.0, t / warm)), None


def periodic(p, g, *, t, lr, k):
    return (p if t % k else torch.add(p, g, alpha=-lr),)


def hiding(p, g, *, t, lr):
    return (torch.add(p, g, alpha=-lr / math.sqrt(t)),)


def counting(p, g, *, t, lr):
    return (p * int(t) + lr * g,)


def powers(p, g, *, t, lr):
    return (p - g**lr / t,)


def named(p, g, *, t, lr, way):
    return (torch.add(p, g, alpha=-lr) if way == "down" else torch.sub(p, g, alpha=-lr),)


def test_each_way_through_a_formula_is_learnt_once():
    (recipes,) = known(warmed, {"lr": 0.1, "warm": 3.5}, range(1, 9))
    assert len(recipes) == 2
    (recipes,) = known(periodic, {"lr": 0.1, "k": 3}, range(1, 20))
    assert len(recipes) == 2


def test_arithmetic_that_cannot_be_followed_is_noticed():
    assert known(hiding, {"lr": 0.1}, range(1, 9)) == [None]


def test_a_formula_of_too_many_ways_is_run_as_it_is():
    assert known(counting, {"lr": 0.1}, range(1, BRANCHES + 9)) == [None]


def test_an_exponent_is_part_of_the_program():
    recipes = Recipes(powers)
    for lr in (2.0, 3.0, 2.0):
        asked = {"lr": lr, "t": 4.0}
        assert recipes.at((True, True), asked) == record(powers, (True, True), asked)
    square, cube = (record(powers, (True, True), {"lr": lr, "t": 4.0})[0] for lr in (2.0, 3.0))
    assert square != cube


def test_each_name_has_a_recipe_of_its_own():
    recipes = Recipes(named)
    for way in ("down", "up", "down"):
        asked = {"lr": 0.1, "t": 1.0, "way": way}
        assert recipes.at((True, True), asked) == record(named, (True, True), asked)


def test_other_numbers_are_computed_anew():
    recipes = Recipes(warmed)
    numbers = [recipes.at((True, True), {"lr": lr, "t": 9.0, "warm": 3.5})[1] for lr in (0.1, 0.2)]
    assert numbers == [[-0.1], [-0.2]]


def test_a_number_taken_for_itself_is_a_question():
    ledger = Ledger()
    x = ledger.entry(3.0)
    assert [int(x), float(x), math.trunc(x)] == [3, 3.0, 3]
    calculate = ledger.close([x])
    assert calculate(3.0)[0] == ledger.answers == [True] * 3
    assert calculate(4.0)[0] == [False] * 3


def test_a_tensor_among_the_hyperparameters_is_computed_with_as_it_is():
    recipes, lr = Recipes(warmed), torch.tensor(0.1)
    for t in (1.0, 2.0):
        _, numbers, scalars = recipes.at((True, True), {"lr": lr, "t": t, "warm": 3.5})
        assert (len(numbers), len(scalars)) == (0, 1)
        assert float(scalars[0]) == pytest.approx(-0.1 * t / 3.5)
    assert not recipes.known


@pytest.mark.parametrize(
    "rule", [r for r in EVERY_RULE.values() if "pointwise" in r.facts], ids=lambda r: r.name
)
def test_recipes_say_what_the_rules_say(rule):
    if rule.summaries or any(s.scalar for s in rule.slots):
        pytest.skip("has 0-d tensors, and so no recipes")
    hyper = active(rule)
    present = [True, True, *(s.is_open(hyper) for s in rule.slots)]
    recipes = Recipes(rule.formula)
    for t in (1.0, 2.0, 3.0, 5.0, 6.0, 50.0):
        for lr in (0.0, 1e-3, 0.5):
            asked = {**hyper, "lr": lr, **({"t": t} if rule.counts_steps else {})}
            assert recipes.at(present, asked) == record(rule.formula, present, asked)


@pytest.mark.parametrize(
    ("sum_of", "expected"),
    [
        (lambda a, b: (1 - a**b) / 2 + b // 2 - b % 2, (1 - 0.5**3.0) / 2 + 1 - 1),
        (lambda a, b: abs(-a) * (2**b) - (7 / b) + (9 // b) + (10 % b), 4 - 7 / 3 + 3 + 1),
        (lambda a, b: max(a, b) + min(a, b) + (a if b > 2 else b), 4.0),
    ],
)
def test_sums_are_played_again_with_other_numbers(sum_of, expected):
    ledger = Ledger()
    a, b = ledger.entry(0.5), ledger.entry(3.0)
    result = sum_of(a, b)
    assert plain(result) == pytest.approx(expected)
    play = ledger.close([result])
    answers, (again,) = play(0.25, 5.0)
    assert answers == ledger.answers
    assert again == sum_of(0.25, 5.0)
