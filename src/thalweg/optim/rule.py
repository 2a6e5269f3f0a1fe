"""A rule: one optimizer's formula, and what its signature says about it.

    @rule("pointwise", "odd")
    def heavy_ball(p, g, b=slot("momentum_buffer"), *, lr=1e-3, momentum=0.9):
        b = momentum * b + g
        return p - lr * b, b

The signature is the declaration. After the parameter `p` and its gradient `g` come the state
slots, each with the name that it has in `state_dict`; after the star come the hyperparameters
with their defaults. The keyword `t` asks for the parameter's own count of steps, from 1. A
default `over_all(function)` asks for a number computed from the gradients of all parameters.
The body returns the new parameter and the new state in the signature's order. It is pure: no
in-place arithmetic, no look at device, dtype or shape; `torch` functions and operators only.

`rule` reads all this once, when the module is imported; nothing else here is magic.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from thalweg.optim.hyperparameters import GLOSSARY, nearest

FACTS = ("pointwise", "odd", "loss-scale-invariant", "rotation-equivariant")

Formula = Callable[..., Any]
Start = Callable[[Tensor], Tensor]
Summary = Callable[[list[Tensor]], Tensor]


@dataclass(frozen=True)
class Slot:
    """One tensor of state that a rule keeps for each parameter."""

    name: str
    start: Start | None  # None: the formula is given None at first and says what to keep
    when: str | None  # kept only while this hyperparameter is not zero or false

    def is_open(self, hyper: Mapping[str, Any]) -> bool:
        """Whether the rule keeps this slot under these hyperparameters."""
        return self.when is None or bool(hyper[self.when])


def slot(name: str, start: Start | None = torch.zeros_like, *, when: str | None = None) -> Any:
    """Declare a state slot, as the default of a rule's positional argument.

    Args:
        name: its key in `state_dict`; PyTorch's where PyTorch has the optimizer.
        start: makes the first value from the parameter, in the parameter's shape; with None the
            formula receives None at the first step.
        when: the hyperparameter without which the slot is not kept.
    """
    return Slot(name, start, when)


@dataclass(frozen=True)
class OverAll:
    """Marks a keyword that the engine fills with a function of all gradients."""

    summary: Summary


def over_all(summary: Summary) -> Any:
    """Declare a number computed from the list of all gradients, as a keyword's default."""
    return OverAll(summary)


@dataclass(frozen=True)
class Rule:
    """An optimizer's formula with all that its signature declares.

    Calling a rule calls its formula: `new_p, *new_state = adam(p, g, m, v, v_max, t=1.0, ...)`,
    every hyperparameter given.
    """

    name: str
    formula: Formula
    slots: tuple[Slot, ...] = ()
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    facts: frozenset[str] = frozenset()
    counts_steps: bool = False
    summaries: Mapping[str, Summary] = field(default_factory=dict)
    check: Callable[[Mapping[str, Any]], None] | None = None
    doc: str = ""

    def __call__(self, p: Any, g: Any, *state: Any, **hyper: Any) -> Any:
        """Evaluate the formula: the new parameter, then the new state, slot by slot."""
        return self.formula(p, g, *state, **hyper)

    def __repr__(self) -> str:
        hyper = ", ".join(f"{name}={value!r}" for name, value in self.hyperparameters.items())
        return f"{self.name}({hyper})"

    def settings(self, **given: Any) -> dict[str, Any]:
        """All hyperparameters: the given ones, and the defaults of the others."""
        for name in given:
            if name not in self.hyperparameters:
                advice = nearest(name, self.hyperparameters)
                raise TypeError(f"{self.name} has no hyperparameter {name!r}. {advice}")
        return {**self.hyperparameters, **given}

    def wrapped(
        self, by: str, formula: Formula, *, without: Iterable[str] = (), **new: Any
    ) -> Rule:
        """The same state under another formula; how a wrapper makes a rule from a rule.

        Args:
            by: the wrapper's name; the result is called `by(name)`.
            formula: called as this rule's formula is, with the new hyperparameters besides.
            without: facts that no longer hold.
            new: further hyperparameters with their defaults, or `over_all(...)`.
        """
        summaries, hyper = _split(new)
        return replace(
            self,
            name=f"{by}({self.name})",
            formula=formula,
            hyperparameters=MappingProxyType({**self.hyperparameters, **_known(by, hyper)}),
            summaries={**self.summaries, **summaries},
            facts=self.facts - set(without),
        )


def rule(
    *facts: str, check: Callable[[Mapping[str, Any]], None] | None = None
) -> Callable[[Formula], Rule]:
    """Make a rule of the formula that follows; see the module for how to write one.

    Args:
        facts: laws that the rule keeps, out of `FACTS`. The tests hold the rule to them and the
            engine relies on them: a pointwise rule may be flattened and cut into pieces.
        check: raises ValueError when hyperparameters do not go together.

    Raises:
        ValueError: an unknown fact, or a hyperparameter that is not in the glossary.
        TypeError: a signature that does not declare a rule.
    """
    for fact in facts:
        if fact not in FACTS:
            raise ValueError(f"rule({fact!r}): there is no such fact. {nearest(fact, FACTS)}")

    def read(formula: Formula) -> Rule:
        name = formula.__name__
        parameters = list(inspect.signature(formula).parameters.values())
        named = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        counts_steps = named.pop("t", None) is not None
        summaries, hyper = _split(named)
        return Rule(
            name=name,
            formula=formula,
            slots=_slots(name, [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]),
            hyperparameters=MappingProxyType(_known(name, hyper)),
            facts=frozenset(facts),
            counts_steps=counts_steps,
            summaries=summaries,
            check=check,
            doc=inspect.cleandoc(sys.modules[formula.__module__].__doc__ or ""),
        )

    return read


def _slots(name: str, positional: list[inspect.Parameter]) -> tuple[Slot, ...]:
    slots = tuple(p.default for p in positional[2:])
    if [p.name for p in positional[:2]] != ["p", "g"] or not all(
        isinstance(s, Slot) for s in slots
    ):
        written = ", ".join(p.name for p in positional)
        raise TypeError(
            f"{name}({written}, ...): a rule takes p, g and then its state, each with a slot(...) "
            "as default. Put hyperparameters after a star."
        )
    return slots


def _split(named: Mapping[str, Any]) -> tuple[dict[str, Summary], dict[str, Any]]:
    summaries = {k: v.summary for k, v in named.items() if isinstance(v, OverAll)}
    return summaries, {k: v for k, v in named.items() if not isinstance(v, OverAll)}


def _known(name: str, hyper: dict[str, Any]) -> dict[str, Any]:
    for key, default in hyper.items():
        if key not in GLOSSARY:
            raise ValueError(
                f"{name}(..., {key}): the glossary has no such hyperparameter. "
                f"{nearest(key, GLOSSARY)} A new one is added with hyperparameters.define."
            )
        if default is inspect.Parameter.empty:
            raise TypeError(f"{name}(..., {key}): a hyperparameter needs a default.")
    return hyper
