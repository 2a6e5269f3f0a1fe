"""One rule for the matrices, another for all other parameters.

    muon_adamw = for_matrices(decoupled(muon), otherwise=decoupled(adam))

A parameter goes to the first rule if it is a matrix; tensors of more than two dimensions too,
unless the first rule has the hyperparameter `flatten` and it is off. A group with `matrices=False`
goes to the second rule whole: embeddings and a network's last layer are matrices, and still not
Muon's. Each parameter has the state of its own rule only.

Hyperparameters of the same name and default are one, for both rules. Where the defaults differ, the
second rule's has a name of its own, `other_eps` beside `eps`; but the learning rate is always one,
so that one schedule moves both: the second rule's is `lr_ratio` times the first's.

Sharding: the engine gathers sharded parameters before the step, for both rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from torch import Tensor

from thalweg.optim.hyperparameters import GLOSSARY, define
from thalweg.optim.rule import Rule, Slot

define(
    "matrices",
    "whether the group's matrices go to the rule for matrices",
    switch=True,
)
define(
    "lr_ratio",
    "the other rule's learning rate, in multiples of the rule's for matrices",
    "a number >= 0",
    lambda x: bool(x >= 0),
)


@dataclass(frozen=True)
class Branch:
    """One of the two rules, with the names that its hyperparameters have in both together."""

    rule: Rule
    names: Mapping[str, str]  # own name: name in the whole
    places: tuple[int, ...] = ()  # where its slots stand among all

    def settings(self, hyper: Mapping[str, Any]) -> dict[str, Any]:
        """The rule's own hyperparameters, of those of the whole."""
        return {own: hyper[name] for own, name in self.names.items()}

    def slots(self) -> tuple[Slot, ...]:
        """Its slots, as the whole names what they depend on."""
        return tuple(
            replace(s, when=None if s.when is None else self.names[s.when]) for s in self.rule.slots
        )

    def step(self, p: Any, g: Any, state: tuple[Any, ...], hyper: Mapping[str, Any]) -> Any:
        """The rule's step, with the state that the rule does not have left as it is: absent."""
        known = self.settings(hyper) | {name: hyper[name] for name in self.rule.summaries}
        if self.rule.counts_steps:
            known["t"] = hyper["t"]
        new, *values = self.rule.formula(p, g, *(state[i] for i in self.places), **known)
        mine = dict(zip(self.places, values, strict=True))
        return new, *(mine.get(index) for index in range(len(state)))


def for_matrices(rule: Rule, *, otherwise: Rule) -> Rule:
    """A rule made of two: `rule` for matrices, `otherwise` for what is none.

    Raises:
        ValueError: a rule whose state is a scalar, or begins with the first step's result.
    """
    for each in (rule, otherwise):
        _refuse_odd_state(each)
    apart = _apart(rule, otherwise)
    first = Branch(rule, {name: name for name in rule.hyperparameters})
    second = Branch(otherwise, {name: apart.get(name, name) for name in otherwise.hyperparameters})
    slots = _together(first, second)
    places = {s.name: index for index, s in enumerate(slots)}
    first, second = (
        replace(b, places=tuple(places[s.name] for s in b.rule.slots)) for b in (first, second)
    )

    def formula(p: Any, g: Any, *state: Any, **hyper: Any) -> Any:
        if _is_matrix(p, hyper):
            return first.step(p, g, state, hyper)
        return second.step(p, g, state, {**hyper, "lr": hyper["lr"] * hyper["lr_ratio"]})

    return Rule(
        name=f"for_matrices({rule.name}, otherwise={otherwise.name})",
        formula=formula,
        slots=slots,
        hyperparameters=_defaults(rule, second),
        facts=(rule.facts & otherwise.facts) - {"pointwise"},
        counts_steps=rule.counts_steps or otherwise.counts_steps,
        summaries={**otherwise.summaries, **rule.summaries},
        check=_both_checks(first, second),
        own_terms=_terms(rule, second),
        doc=f"{rule.doc}\n\nWhat is no matrix:\n\n{otherwise.doc}",
    )


def _is_matrix(p: Tensor, hyper: Mapping[str, Any]) -> bool:
    return bool(hyper["matrices"]) and (
        p.dim() == 2 or (p.dim() > 2 and hyper.get("flatten", True))
    )


def _refuse_odd_state(rule: Rule) -> None:
    for s in rule.slots:
        if s.scalar or s.start is None:
            kind = "a scalar" if s.scalar else "made at its first step"
            raise ValueError(
                f"for_matrices(...): the state {s.name!r} of {rule.name} is {kind}, which a "
                "parameter cannot be without. Give the two kinds of parameters to two optimizers."
            )


def _apart(rule: Rule, otherwise: Rule) -> dict[str, str]:
    """Names for those of the second rule's that need one of their own; put in the glossary."""
    ours, theirs = rule.hyperparameters, otherwise.hyperparameters
    apart = {}
    for name in theirs:
        if name != "lr" and name in ours and ours[name] != theirs[name]:
            apart[name] = f"other_{name}"
            entry = GLOSSARY[name]
            meaning = f"{entry.meaning} (of parameters that are no matrices)"
            GLOSSARY.setdefault(apart[name], replace(entry, name=apart[name], meaning=meaning))
    return apart


def _defaults(rule: Rule, second: Branch) -> Mapping[str, Any]:
    theirs = {second.names[k]: v for k, v in second.rule.hyperparameters.items()}
    return MappingProxyType({**theirs, **rule.hyperparameters, "matrices": True, "lr_ratio": 1.0})


def _terms(rule: Rule, second: Branch) -> dict[str, Any]:
    theirs = second.rule.own_terms
    named = {
        second.names.get(k, k): replace(v, name=second.names.get(k, k)) for k, v in theirs.items()
    }
    return {**named, **rule.own_terms}


def _both_checks(*branches: Branch) -> Callable[[Mapping[str, Any]], None]:
    def check(hyper: Mapping[str, Any]) -> None:
        for b in branches:
            if b.rule.check is not None:
                b.rule.check(b.settings(hyper))

    return check


def _together(first: Branch, second: Branch) -> tuple[Slot, ...]:
    """All slots, each begun for the parameters of its rule alone; one where the names agree."""
    of_first, of_second = ({s.name: s for s in b.slots()} for b in (first, second))
    switch = {"flatten"} & first.names.keys()
    return tuple(
        _begun_by_shape(of_first.get(name), of_second.get(name), second.names, switch)
        for name in {**of_first, **of_second}
    )


def _begun_by_shape(
    one: Slot | None, two: Slot | None, names: Mapping[str, str], switch: set[str]
) -> Slot:
    """A slot that begins as the first for matrices, and as the second for what is none."""
    shown = [s for s in (one, two) if s is not None]
    if len({s.when for s in shown}) > 1:
        raise ValueError(
            f"for_matrices(...): both rules keep {shown[0].name!r}, under different conditions. "
            "Give the two kinds of parameters to two optimizers."
        )

    def start(p: Tensor, **known: Any) -> Tensor | None:
        if _is_matrix(p, known):
            return one.begin(p, known) if one else None
        theirs = {own: known[name] for own, name in names.items() if name in known}
        theirs["lr"] = known["lr"] * known["lr_ratio"]
        return two.begin(p, {**known, **theirs}) if two else None

    asked = [name for s, named in ((one, {}), (two, names)) if s for name in _named(s, named)]
    asks = tuple(sorted({"matrices", "lr", "lr_ratio", *switch, *asked}))
    return replace(shown[0], start=start, asks=asks)


def _named(s: Slot, names: Mapping[str, str]) -> list[str]:
    return [names.get(name, name) for name in s.asks]
