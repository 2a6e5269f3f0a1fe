"""Holding an optimizer to the contract: all laws in one call, or each as a test of its own."""

from __future__ import annotations

import difflib
import unittest
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from thalweg.testing import laws as _laws  # puts the laws on the shelf  # noqa: F401
from thalweg.testing.contract import LAWS, Broken, Law, NotApplicable, Outcome
from thalweg.testing.demands import brief
from thalweg.testing.probing import probe
from thalweg.testing.report import ContractBroken, ContractReport
from thalweg.testing.subject import Subject


def check_optimizer(
    cls: Callable[..., Optimizer],
    /,
    *,
    params: Sequence[Tensor] | None = None,
    only: Iterable[str] = (),
    waived: Mapping[str, str] | None = None,
    strict: bool = True,
    **settings: Any,
) -> ContractReport:
    """Hold an optimizer to what training loops expect of a `torch.optim.Optimizer`.

    Args:
        cls: a subclass of `torch.optim.Optimizer`, or a function that makes one of the same
            arguments.
        params: example parameters to work on copies of, for optimizers that take only some; two of
            different shapes if None. They also say on which device, and in which type.
        only: names of the laws to hold it to; all if empty. `LAWS` has them.
        waived: laws that it breaks on purpose, each with the reason.
        strict: raise if a law is broken; otherwise only say so in the report.
        settings: what else the constructor is given, such as `lr=0.1`.

    Returns:
        The report, which prints as a table.

    Raises:
        ContractBroken: a law is broken that is not waived, if `strict`.
        ValueError: the optimizer cannot be built or take a step; or a law of that name is unknown.
        TypeError: what `cls` makes is no optimizer.
    """
    waived = waived or {}
    chosen = [_law(name) for name in only] or list(LAWS.values())
    for name in waived:
        _law(name)
    subject = probe(cls, settings, params)
    outcomes = tuple(_waive(judge(law, subject), waived) for law in chosen)
    report = ContractReport(written(subject), driven(subject), outcomes)
    if strict and report.broken:
        raise ContractBroken(report)
    return report


@dataclass(frozen=True)
class OptimizerCheck:
    """One law for one optimizer, to be called by a test.

    Calling it raises `ContractBroken` if the law is broken and `unittest.SkipTest`, which pytest
    understands, if it is waived or does not apply.
    """

    law: Law
    subject: Subject
    reason: str | None = None  # why it is waived

    @property
    def __name__(self) -> str:
        """What pytest calls the test."""
        return f"{self.subject.name}-{self.law.name}"

    def __call__(self) -> None:
        """Hold the optimizer to the law."""
        waived = {} if self.reason is None else {self.law.name: self.reason}
        outcome = _waive(judge(self.law, self.subject), waived)
        if outcome.verdict == "broken":
            subject = self.subject
            raise ContractBroken(ContractReport(written(subject), driven(subject), (outcome,)))
        if outcome.verdict != "kept":
            raise unittest.SkipTest(f"{outcome.verdict}: {outcome.said}")


def optimizer_checks(
    cls: Callable[..., Optimizer],
    /,
    *,
    params: Sequence[Tensor] | None = None,
    waived: Mapping[str, str] | None = None,
    **settings: Any,
) -> Iterator[OptimizerCheck]:
    """Every law as a function to call, for `pytest.mark.parametrize`.

    The arguments, and the errors raised at once, are `check_optimizer`'s.
    """
    waived = waived or {}
    for name in waived:
        _law(name)
    subject = probe(cls, settings, params)
    return (OptimizerCheck(law, subject, waived.get(law.name)) for law in LAWS.values())


def judge(law: Law, subject: Subject) -> Outcome:
    """Hold one optimizer to one law. Random numbers and warnings of its own leave no trace."""
    with torch.random.fork_rng(devices=[]), torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return Outcome(law, "kept", law.check(subject) or "")
        except NotApplicable as reason:
            return Outcome(law, "not applicable", str(reason))
        except Broken as broken:
            return Outcome(law, "broken", str(broken))
        except Exception as error:  # whatever the optimizer under test raises
            return Outcome(law, "broken", f"raises {brief(error)}")


def written(subject: Subject) -> str:
    """The constructor's call: `Adam(lr=0.1)`."""
    given = ", ".join(f"{name}={value!r}" for name, value in subject.settings.items())
    return f"{subject.name}({given})"


def driven(subject: Subject) -> tuple[str, ...]:
    """How the optimizer is driven, where it is not the usual way."""
    ways = {
        "by a closure": subject.needs_closure and not subject.needs_graph,
        "by a closure whose loss has its graph": subject.needs_graph,
        "by sparse gradients": subject.sparse,
        "its parameters depend on each other": subject.coupled,
    }
    return tuple(way for way, holds in ways.items() if holds)


def _waive(outcome: Outcome, waived: Mapping[str, str]) -> Outcome:
    """A broken law that is waived is not broken; a waiver that is not needed is said."""
    reason = waived.get(outcome.law.name)
    if reason is None or outcome.verdict == "not applicable":
        return outcome
    if outcome.verdict == "broken":
        return replace(outcome, verdict="waived", said=f"{reason} ({outcome.said})")
    return replace(outcome, verdict="broken", said=f"it holds; take the waiver away ({reason})")


def _law(name: str) -> Law:
    if name not in LAWS:
        close = difflib.get_close_matches(name, LAWS, n=1)
        advice = f"Did you mean {close[0]!r}?" if close else f"The laws are {', '.join(LAWS)}."
        raise ValueError(f"check_optimizer: there is no law {name!r}. {advice}")
    return LAWS[name]
