"""A program's numbers, computed without running the formula: the same, or not at all."""

import math

import pytest
import torch
from optim_cases import EVERY_RULE, active

from thalweg.optim.forms.numbers import Ledger, plain
from thalweg.optim.forms.program import record
from thalweg.optim.forms.recipes import BRANCHES, Recipes
from thalweg.optim.forms.scalars import Bound
from thalweg.optim.forms.settings import Reading, Settings
from thalweg.optim.starts import number


def known(formula, hyper, steps):
    """The recipes after some steps, each held to what the formula itself says."""
    recipes = Recipes(formula)
    for t in steps:
        expected = record(formula, (True, True), {**hyper, "t": float(t)})
        assert recipes.at((True, True), Reading(hyper), float(t)) == (*expected, {})
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
        asked = Reading(lr=lr, t=4.0)
        assert recipes.at((True, True), asked)[:3] == record(powers, (True, True), asked)
    square, cube = (record(powers, (True, True), {"lr": lr, "t": 4.0})[0] for lr in (2.0, 3.0))
    assert square != cube


def test_each_name_has_a_recipe_of_its_own():
    recipes = Recipes(named)
    for way in ("down", "up", "down"):
        asked = Reading(lr=0.1, t=1.0, way=way)
        assert recipes.at((True, True), asked)[:3] == record(named, (True, True), asked)


def test_other_numbers_are_computed_anew():
    recipes = Recipes(warmed)
    asked = [Reading(lr=lr, t=9.0, warm=3.5) for lr in (0.1, 0.2)]
    assert [recipes.at((True, True), x).numbers for x in asked] == [[-0.1], [-0.2]]


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
        _, numbers, scalars, _ = recipes.at((True, True), Reading(lr=lr, warm=3.5), t)
        assert (len(numbers), len(scalars)) == (0, 1)
        assert float(scalars[0]) == pytest.approx(-0.1 * t / 3.5)
    assert not recipes.known


@pytest.mark.parametrize(
    "rule", [r for r in EVERY_RULE.values() if "pointwise" in r.facts], ids=lambda r: r.name
)
def test_recipes_say_what_the_rules_say(rule):
    if rule.summaries or any(s.scalar for s in rule.slots):
        pytest.skip("computes with 0-d tensors")  # see below
    hyper = active(rule)
    present = [True, True, *(s.is_open(hyper) for s in rule.slots)]
    recipes = Recipes(rule.formula)
    for t in (1.0, 2.0, 3.0, 5.0, 6.0, 50.0):
        for lr in (0.0, 1e-3, 0.5):
            asked = Reading(hyper, lr=lr, **({"t": t} if rule.counts_steps else {}))
            assert recipes.at(present, asked)[:3] == record(rule.formula, present, asked)


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


def test_a_table_of_settings_is_read_anew_only_when_it_may_have_changed():
    group = {"lr": 0.1, "betas": (0.9, 0.99), "eps": torch.tensor([1e-8]), "other": 1}
    settings = Settings(("lr", "betas"))
    first = settings.of(group)
    assert first == {"lr": 0.1, "betas": (0.9, 0.99)}
    assert settings.of(dict(group)) is first
    assert settings.of({**group, "lr": 0.2}) == {"lr": 0.2, "betas": (0.9, 0.99)}
    group["betas"] = [0.9, 0.99]
    assert settings.of(group)["betas"] == (0.9, 0.99)
    group["betas"][0] = 0.5
    assert settings.of(group)["betas"] == (0.5, 0.99)
    with_tensors = Settings(("lr", "eps"))
    assert with_tensors.of(group)["eps"].shape == ()
    group["eps"].data = torch.tensor([1e-3])
    assert float(with_tensors.of(group)["eps"]) == pytest.approx(1e-3)


def run(rule, present, hyper, t, scalars):
    """What the rule says without recipes: program, numbers, 0-d tensors, new scalars."""
    bound = Bound(rule, scalars)
    return (*record(bound, present, {**hyper, "t": t}), bound.results)


def told(p, g, s, *, t, lr):
    """State that is one number, and that the ledger can follow."""
    s = 0.5 * s + lr / t - torch.sqrt(s * s)
    return (torch.add(p, g, alpha=number(1 - s) if t < 4 else -lr), s)


def bare(p, g, s, *, t, lr):
    return (torch.add(p, g, alpha=float(s) * lr), s + t)


def mixed(p, g, s, *, t, lr):
    return (p - s * g * lr, s + t)


def branching(p, g, s, *, t, lr):
    return (torch.add(p, g, alpha=lr if s > 2 else -lr), s + t)


def stacked(p, g, s, *, t, lr):
    return (torch.add(p, g, alpha=lr * number(torch.stack([s, s]).max())), s + t)


def shaped(p, g, s, *, t, lr):
    return (torch.add(p, g, alpha=lr * s.numel()), s + t)


def split_up(p, g, s, *, t, lr):
    return (torch.add(p, g, alpha=lr if torch.equal(s, s + t) else -lr), s + t)


@pytest.mark.parametrize(
    ("formula", "start", "learnt"),
    [
        (told, 3.0, 2),
        (bare, 3.0, None),
        (mixed, 3.0, None),
        (branching, 0.0, 2),
        (stacked, 3.0, None),
        (shaped, 3.0, None),
        (split_up, 3.0, None),
        (told, [3.0, 4.0], None),
    ],
)
def test_state_that_is_one_number_is_followed_or_not_at_all(formula, start, learnt):
    formula = told_of_vectors if isinstance(start, list) else formula
    recipes, s, present = Recipes(formula), torch.tensor(start), (True, True, False)
    for t in range(1, BRANCHES + 4):
        got = recipes.at(present, Reading(lr=0.1), float(t), {0: s})
        expected = run(formula, present, {"lr": 0.1}, float(t), {0: s})
        assert got[:2] == expected[:2]
        assert len(got.tensors) == len(expected[2])
        assert torch.equal(torch.as_tensor(got.results[0]), torch.as_tensor(expected[3][0]))
        s = got.results[0]
    (known,) = recipes.known.values()
    assert (known and len(known)) == learnt


def told_of_vectors(p, g, s, *, t, lr):
    return (torch.add(p, g, alpha=lr * number(s.max())), s + t)


@pytest.mark.parametrize("name", ["nadam", "asgd"])
@pytest.mark.parametrize("convention", [None, "other"])
def test_scalar_state_of_the_rules_is_followed(name, convention):
    rule = EVERY_RULE[name]
    hyper = active(rule)
    if convention:
        hyper["convention"] = {"nadam": "paper", "asgd": "polyak"}[name]
    present = [True, True, *(not s.scalar for s in rule.slots)]
    recipes = Recipes(rule.formula)
    scalars = {i: torch.tensor(0.75) for i, s in enumerate(rule.slots) if s.scalar}
    for t in range(1, 9):
        got = recipes.at(present, Reading(hyper), float(t), scalars)
        assert got == run(rule.formula, present, hyper, float(t), scalars)
        scalars = {i: torch.as_tensor(x, dtype=torch.float32) for i, x in got.results.items()}
    (known,) = recipes.known.values()
    assert known
