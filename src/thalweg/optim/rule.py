"""A rule: one optimizer's formula, and what its signature says about it.

    @rule("pointwise", "odd")
    def heavy_ball(p, g, b=slot("momentum_buffer"), *, lr=1e-3, momentum=0.9):
        b = momentum * b + g
        return p - lr * b, b

The signature is the declaration. After the parameter `p` and its gradient `g` come the state
slots, each with the name that it has in `state_dict`; after the star come the hyperparameters
with their defaults. The keyword `t` asks for the parameter's own count of steps, from 1. A
default `over_all(function)` asks for numbers computed from all parameters together.
The body returns the new parameter and the new state in the signature's order. It is pure: no
in-place arithmetic, no look at device or dtype; `torch` functions and operators only. A rule that
is not pointwise is given each tensor in its own shape, and may look at it.

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

from thalweg.optim.hyperparameters import GLOSSARY, Hyperparameter, nearest

FACTS = (
    "pointwise",
    "odd",
    "loss-scale-invariant",
    "rotation-equivariant",  # of all coordinates of a parameter together
    "orthogonally-equivariant",  # of a matrix: its rows and its columns may be turned
)
# What else holds wherever a fact holds: turning rows or columns turns all coordinates.
IMPLIED = {"rotation-equivariant": "orthogonally-equivariant"}

Formula = Callable[..., Any]
Start = Callable[..., Tensor | None]
Summary = Callable[..., Any]
Average = Callable[[Tensor, Mapping[str, Any], Mapping[str, Any]], Tensor] | None
Permit = Callable[[Mapping[str, Any]], bool] | None


@dataclass(frozen=True)
class Slot:
    """One tensor of state that a rule keeps for each parameter."""

    name: str
    start: Start | None  # None: the formula is given None at first and says what to keep
    when: str | None  # kept only while this hyperparameter is not zero or false
    scalar: bool  # 0-d, on the CPU, the same for parameters that share a call
    argument: str = ""  # what the formula calls it
    asks: tuple[str, ...] = ()  # the hyperparameters that `start` wants

    def is_open(self, hyper: Mapping[str, Any]) -> bool:
        """Whether the rule keeps this slot under these hyperparameters."""
        return self.when is None or bool(hyper[self.when])

    def begin(self, p: Tensor, known: Mapping[str, Any]) -> Tensor | None:
        """The first value for a parameter; None where this parameter has no such state."""
        if self.start is None:
            return torch.empty_like(p)
        return self.start(p, **{name: known[name] for name in self.asks})


def slot(
    name: str,
    start: Start | None = torch.zeros_like,
    *,
    when: str | None = None,
    scalar: bool = False,
) -> Any:
    """Declare a state slot, as the default of a rule's positional argument.

    Args:
        name: its key in `state_dict`; PyTorch's where PyTorch has the optimizer.
        start: makes the first value from the parameter, and from hyperparameters that it names
            after a star: `lambda p, *, lr: full_like(p, lr)`. It may also ask for `offset`, the
            number of coordinates that the optimizer has before this parameter. For a pointwise
            rule the value has the parameter's shape; for others any shape, or None for a parameter
            that has no such state. With None as `start`, the formula receives None at the first
            step and its result is kept.
        when: the hyperparameter without which the slot is not kept.
        scalar: the value is one number, a 0-d tensor on the CPU; the formula receives it as such
            and may take its `float`. (Or a vector of a few numbers that are no parameter's own.)
    """
    return Slot(name, start, when, scalar, asks=_named_after_star(start))


@dataclass(frozen=True)
class OverAll:
    """Marks a keyword that the engine fills with a function of all parameters."""

    summary: Summary
    asks: tuple[str, ...]

    def of(self, known: Mapping[str, Any]) -> Any:
        """The function's value, its arguments taken by their names."""
        return self.summary(**{name: known[name] for name in self.asks})


def over_all(summary: Summary) -> Any:
    """Declare numbers computed from all parameters together, as a keyword's default.

    Args:
        summary: its positional arguments are named as the formula's (`p`, `g`, or a slot) and
            receive lists with an entry for each parameter that has a gradient; those after a
            star are hyperparameters, or `t`, of the first of them. An entry is None where the
            parameter has no such state. Returns 0-d tensors or numbers.
    """
    return OverAll(summary, tuple(inspect.signature(summary).parameters))


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
    summaries: Mapping[str, OverAll] = field(default_factory=dict)
    check: Callable[[Mapping[str, Any]], None] | None = None
    own_terms: Mapping[str, Hyperparameter] = field(default_factory=dict)
    admit: Callable[[Tensor, Mapping[str, Any]], None] | None = None
    rows: Permit = None
    average: Average = None  # where to evaluate, from a parameter, its state and hyperparameters
    doc: str = ""

    @property
    def terms(self) -> dict[str, Hyperparameter]:
        """The glossary, with this rule's own wording where it has one."""
        return {**GLOSSARY, **self.own_terms}

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
        self,
        by: str,
        formula: Formula,
        *,
        without: Iterable[str] = (),
        slots: Mapping[str, Slot] = MappingProxyType({}),
        counts_steps: bool = False,
        rows: Permit = None,
        **new: Any,
    ) -> Rule:
        """This rule under another formula; how a wrapper makes a rule from a rule.

        Args:
            by: the wrapper's name; the result is called `by(name)`.
            formula: called as this rule's formula is, with the new state after this rule's own and
                the new hyperparameters besides.
            without: facts that no longer hold, nor what they imply.
            slots: further state, by the name that summaries know it by.
            counts_steps: whether the formula asks for `t`, even if this rule does not.
            rows: as for `rule`, of the wrapper alone; sparse gradients are refused if None.
            new: further hyperparameters with their defaults, or `over_all(...)`.

        Raises:
            ValueError: state or a hyperparameter's name that the rule already has.
        """
        summaries, hyper = _split(new)
        lost = {*without, *(IMPLIED[fact] for fact in without if fact in IMPLIED)}
        added = tuple(replace(s, argument=argument) for argument, s in slots.items())
        self._refuse_twice(by, hyper, added)
        return replace(
            self,
            name=f"{by}({self.name})",
            formula=formula,
            slots=(*self.slots, *added),
            hyperparameters=MappingProxyType({**self.hyperparameters, **_known(by, hyper)}),
            summaries={**self.summaries, **summaries},
            facts=self.facts - lost,
            counts_steps=self.counts_steps or counts_steps,
            rows=_both(self.rows, rows),
        )

    def _refuse_twice(self, by: str, hyper: Mapping[str, Any], added: tuple[Slot, ...]) -> None:
        twice = [s.name for s in added if s.name in {own.name for own in self.slots}]
        twice += [name for name in hyper if name in self.hyperparameters]
        if twice:
            raise ValueError(
                f"{by}({self.name}): {self.name} already has {twice[0]!r}. Wrap it once, or give "
                "the new one a name of its own."
            )


def rule(
    *facts: str,
    check: Callable[[Mapping[str, Any]], None] | None = None,
    admit: Callable[[Tensor, Mapping[str, Any]], None] | None = None,
    terms: Iterable[Hyperparameter] = (),
    rows: Permit = None,
) -> Callable[[Formula], Rule]:
    """Make a rule of the formula that follows; see the module for how to write one.

    Args:
        facts: laws that the rule keeps, out of `FACTS`. The tests hold the rule to them and the
            engine relies on them: a pointwise rule may be flattened and cut into pieces.
        check: raises ValueError when hyperparameters do not go together.
        admit: raises ValueError for a parameter that an optimizer of this rule does not take under
            these hyperparameters.
        terms: glossary entries that this rule words or bounds in its own way, as PyTorch's messages
            differ from optimizer to optimizer.
        rows: of a sparse gradient, whether the rule may, under these hyperparameters, be run on the
            touched rows alone, because it leaves a row without gradient as it is, or is meant to;
            if not, the gradient is made dense. None: sparse gradients are refused.

    Raises:
        ValueError: an unknown fact, or a hyperparameter that is not in the glossary.
        TypeError: a signature that does not declare a rule.
    """
    for fact in facts:
        if fact not in FACTS:
            raise ValueError(f"rule({fact!r}): there is no such fact. {nearest(fact, FACTS)}")

    implied = {IMPLIED[fact] for fact in facts if fact in IMPLIED}

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
            facts=frozenset(facts) | implied,
            counts_steps=counts_steps,
            summaries=summaries,
            check=check,
            own_terms=MappingProxyType({term.name: term for term in terms}),
            admit=admit,
            rows=rows,
            doc=inspect.cleandoc(sys.modules[formula.__module__].__doc__ or ""),
        )

    return read


def _both(one: Permit, other: Permit) -> Permit:
    return (lambda hyper: one(hyper) and other(hyper)) if one and other else None


def _slots(name: str, positional: list[inspect.Parameter]) -> tuple[Slot, ...]:
    slots = tuple(p.default for p in positional[2:])
    declared = all(isinstance(s, Slot) for s in slots)
    if [p.name for p in positional[:2]] != ["p", "g"] or not declared:
        written = ", ".join(p.name for p in positional)
        raise TypeError(
            f"{name}({written}, ...): a rule takes p, g and then its state, each with a slot(...) "
            "as default. Put hyperparameters after a star."
        )
    return tuple(replace(p.default, argument=p.name) for p in positional[2:])


def _named_after_star(function: Callable[..., Any] | None) -> tuple[str, ...]:
    if not inspect.isfunction(function):  # PyTorch's own take a tensor and nothing else
        return ()
    parameters = inspect.signature(function).parameters.values()
    return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)


def _split(named: Mapping[str, Any]) -> tuple[dict[str, OverAll], dict[str, Any]]:
    summaries = {k: v for k, v in named.items() if isinstance(v, OverAll)}
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
