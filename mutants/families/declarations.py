"""What a signature declares, what the glossary allows, and what a class makes of it."""

from mutants.families.suites import bits, optim
from mutants.mutant import of

RULES = optim(
    "rule_declaration",
    "state_slots",
    "sparse",
    "wrappers",
    "optimizer_classes::test_errors_say_what_is_wrong",
    "rules::test_a_rule_has_exactly_the_facts_that_hold",
)
CHECKS = optim(
    "rule_declaration",
    "optimizer_classes::test_errors_say_what_is_wrong",
    "optimizer_classes::test_schedulers_act_as_on_pytorchs",
    "rules::test_hyperparameters_are_in_the_glossary_with_allowed_defaults",
    "wrappers::test_bounds_are_above_zero_or_off",
)

MUTANTS = [
    *of(
        "optim/rule.py",
        RULES,
        (
            "self.when is None or bool(hyper[self.when])",
            "self.when is None or not hyper[self.when]",
            "kept while it is not asked for",
        ),
        (
            "lost = {*without, *(IMPLIED[fact] for fact in without if fact in IMPLIED)}",
            "lost = {*without}",
            "what a lost fact implied is kept",
        ),
        ("        self._refuse_twice(by, hyper, added)\n", "", "a wrapper may be put on twice"),
        ("slots=(*self.slots, *added)", "slots=(*added, *self.slots)", "new state before the old"),
        (
            "counts_steps=self.counts_steps or counts_steps",
            "counts_steps=counts_steps",
            "a wrapped rule forgets its count",
        ),
        ("one(hyper) and other(hyper)", "one(hyper) or other(hyper)", "one permit is enough"),
        (
            "rows=_both(self.rows, rows)",
            "rows=self.rows",
            "a wrapper's refusal of rows is not asked",
        ),
        (
            "{**self.hyperparameters, **given}",
            "{**given, **self.hyperparameters}",
            "defaults win over what is given",
        ),
        ("frozenset(facts) | implied", "frozenset(facts)", "implied facts are not declared"),
        (
            "if p.kind is p.KEYWORD_ONLY)\n",
            "if p.kind is not p.KEYWORD_ONLY)\n",
            "starts are asked for the wrong arguments",
        ),
        (
            "{**GLOSSARY, **self.own_terms}",
            "{**self.own_terms, **GLOSSARY}",
            "a rule's own wording loses",
        ),
        ("if default is inspect.Parameter.empty:", "if False:", "hyperparameters without defaults"),
    ),
    *of(
        "optim/hyperparameters.py",
        CHECKS,
        ("return bool(0 <= x < 1)", "return bool(0 <= x <= 1)", "a beta of 1 is let through"),
        (
            "def _not_negative(x: Any) -> bool:\n    return bool(x >= 0)",
            "def _not_negative(x: Any) -> bool:\n    return bool(x > 0)",
            "a rate of zero is refused",
        ),
        (
            "def _positive(x: Any) -> bool:\n    return bool(x > 0)",
            "def _positive(x: Any) -> bool:\n    return bool(x >= 0)",
            "a norm of zero is let through",
        ),
        ("if value not in entry.choices:", "if False:", "any name is let through"),
        ("or len(values) != entry.length", "", "a pair may have three numbers"),
        ("isinstance(value, Tensor) and value.numel() != 1", "False", "a vector of rates"),
        ("if not isinstance(value, (Real, Tensor)):", "if False:", "a word for a number"),
        (
            "entry is None or entry.switch or _is_off(entry, value)",
            "entry is None or entry.switch or value is None",
            "None switches everything off",
        ),
        ("place=index + 1)", "place=index)", "counted from zero in the message"),
        ("if name in GLOSSARY:\n", "if False:\n", "a name may have two meanings"),
    ),
    *of(
        "optim/starts.py",
        optim("torch_exchange::test_double_by_default_counts_in_double", "state_slots", "forms"),
        (
            "complex(number, number) if",
            "complex(number, 0) if",
            "the imaginary part starts at zero",
        ),
        ("torch.float64 if double else torch.float32)", "torch.float32)", "scalars in single"),
    ),
    *of(
        "optim/classes/adaptive.py",
        (
            *optim("torch_exchange::test_defaults_and_the_order_of_arguments_are_pytorchs"),
            *bits("adamw"),
            *bits("nadam"),
            *optim("optimizer_classes::test_groups_have_settings_of_their_own"),
        ),
        (
            'fixed={"decoupled_weight_decay": True},\n    weight_decay=1e-2,',
            'fixed={"decoupled_weight_decay": False},\n    weight_decay=1e-2,',
            "AdamW with coupled decay",
        ),
        (
            "    weight_decay=1e-2,",
            "    weight_decay=1e-3,",
            "another default",
        ),
        (
            '("lr", "rho", "eps", "weight_decay", "foreach")',
            '("lr", "eps", "rho", "weight_decay", "foreach")',
            "another order",
        ),
        ("maximize(weight_decay(nadam))", "weight_decay(maximize(nadam))", "decay climbs too"),
    ),
]
