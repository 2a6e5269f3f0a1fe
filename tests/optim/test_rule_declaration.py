"""What `@rule` reads from a signature, and what it refuses."""

from dataclasses import replace

import pytest
import torch

from thalweg.optim import (
    GLOSSARY,
    RULES,
    clip_by_value,
    define,
    l2,
    optimizer_class,
    over_all,
    rule,
    slot,
)
from thalweg.optim.hyperparameters import check


def test_a_signature_is_the_declaration():
    adam = RULES["adam"]
    assert adam.name == "adam"
    assert [s.name for s in adam.slots] == ["exp_avg", "exp_avg_sq", "max_exp_avg_sq"]
    assert adam.hyperparameters == {
        "lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False,
        "eps_placement": "outside", "amsgrad_convention": "torch",
    }  # fmt: skip
    assert adam.counts_steps
    assert not RULES["sgd"].counts_steps
    assert adam.doc.startswith("Adam: adaptive moment estimation.")
    assert repr(RULES["lion"]) == "lion(lr=0.0001, betas=(0.9, 0.99))"


def test_over_all_asks_for_a_function_of_all_gradients():
    @rule()
    def normalized(p, g, *, size=over_all(lambda g: g[0].new_tensor(len(g))), lr=1.0):
        return (p - lr * g / size,)

    assert list(normalized.summaries) == ["size"]
    assert list(normalized.hyperparameters) == ["lr"]


def test_a_wrapped_rule_tells_its_name_and_facts():
    made = l2(RULES["adam"])
    assert made.name == "l2(adam)"
    assert made.hyperparameters["weight_decay"] == 0.0
    assert RULES["adam"].facts - made.facts == {"loss-scale-invariant"}


def test_a_rule_is_called_as_the_formula_is():
    p, g = torch.ones(2), torch.ones(2)
    new, b = RULES["sgd"](p, g, None, lr=0.5, momentum=0.9, dampening=0.0, nesterov=False)
    assert new.tolist() == [0.5, 0.5]
    assert b.tolist() == [1.0, 1.0]


def test_settings_refuse_what_a_rule_does_not_have():
    with pytest.raises(TypeError, match=r"adam has no hyperparameter 'beta'. Did you mean 'betas'"):
        RULES["adam"].settings(beta=0.9)


def test_facts_must_be_known():
    with pytest.raises(ValueError, match=r"rule\('point-wise'\).*Did you mean 'pointwise'"):
        rule("point-wise")


def test_hyperparameters_must_be_in_the_glossary():
    with pytest.raises(ValueError, match=r"mine\(..., learn_rate\).*hyperparameters.define"):

        @rule()
        def mine(p, g, *, learn_rate=0.1):
            return (p,)


def test_hyperparameters_need_defaults():
    with pytest.raises(TypeError, match=r"mine\(..., lr\): a hyperparameter needs a default"):

        @rule()
        def mine(p, g, *, lr):
            return (p,)


@pytest.mark.parametrize(
    "formula",
    [lambda g, p: p, lambda p: p, lambda p, g, m: p, lambda p, g, lr=0.1: p],
    ids=["order", "no gradient", "slot undeclared", "star forgotten"],
)
def test_a_signature_that_declares_no_rule_is_refused(formula):
    with pytest.raises(TypeError, match="a rule takes p, g and then its state"):
        rule()(formula)


def test_a_name_has_one_meaning():
    with pytest.raises(ValueError, match=r"define\('lr'\): this name already means"):
        define("lr", "something else")


def test_a_new_name_can_be_given_a_meaning(monkeypatch):
    monkeypatch.setattr("thalweg.optim.hyperparameters.GLOSSARY", mine := dict(GLOSSARY))
    define("warmth", "how warm", "> 0", lambda x: x > 0)
    assert mine["warmth"].complaint == "Invalid warmth value"
    with pytest.raises(ValueError, match=r"Invalid warmth value: 0. In Fire\(warmth=0\)"):
        check("Fire", {"warmth": 0})


def test_slots_start_as_they_say():
    @rule()
    def counting(p, g, n=slot("count", torch.ones_like), *, lr=1.0):
        return p, n + 1

    assert counting.slots[0].start(torch.zeros(3)).tolist() == [1.0, 1.0, 1.0]
    assert counting.slots[0].is_open({})
    assert not RULES["sgd"].slots[0].is_open({"momentum": 0})


def test_a_setting_may_be_a_name_or_several_numbers(monkeypatch):
    monkeypatch.setattr("thalweg.optim.hyperparameters.GLOSSARY", dict(GLOSSARY))
    define("shade", "the colour", choices=("dark", "light"), optional=True)
    define("sides", "how long", "three numbers > 0", lambda x: x > 0, "Side {place} is", length=3)
    check("Lamp", {"shade": None, "sides": (1, 2, 3)})
    check("Lamp", {"shade": "dark"})
    with pytest.raises(ValueError, match=r"Invalid shade value: red.*'dark', 'light' or None"):
        check("Lamp", {"shade": "red"})
    with pytest.raises(ValueError, match=r"Side 2 is: 0. In Lamp\(sides=\(1, 0, 3\)\)"):
        check("Lamp", {"sides": (1, 0, 3)})
    with pytest.raises(ValueError, match=r"sides must be three numbers > 0"):
        check("Lamp", {"sides": (1, 2)})


def test_a_rule_may_word_an_entry_in_its_own_way():
    term = replace(GLOSSARY["lr"], complaint="Learning rate should be >= 0 but is")

    @rule(terms=[term])
    def slow(p, g, *, lr=1e-3):
        """Says no in other words."""
        return (p - lr * g,)

    assert slow.terms["lr"] is term
    with pytest.raises(ValueError, match=r"^Learning rate should be >= 0 but is: -1. In slow"):
        check("slow", {"lr": -1}, slow.terms)


def test_a_rule_may_refuse_a_parameter():
    def admit(p, hyper):
        if p.dim() != 2:
            raise ValueError(f"flat takes matrices; got one of shape {tuple(p.shape)}")

    @rule(admit=admit)
    def flat(p, g, *, lr=1e-3):
        """Takes matrices."""
        return (p - lr * g,)

    made = optimizer_class("Flat", flat)
    optimizer = made([torch.nn.Parameter(torch.ones(2, 2))])
    with pytest.raises(ValueError, match=r"flat takes matrices; got one of shape \(3,\)"):
        optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(3))]})
    assert len(optimizer.param_groups) == 1


def test_what_turns_all_coordinates_turns_rows_and_columns():
    both = {"rotation-equivariant", "orthogonally-equivariant"}
    assert both <= RULES["sgd"].facts
    assert not both & clip_by_value(RULES["sgd"]).facts
