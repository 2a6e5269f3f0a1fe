"""The report: which laws an optimizer keeps, as data and as a table."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

from thalweg.testing.contract import Outcome, Verdict

WIDTH = 100


@dataclass(frozen=True)
class ContractReport:
    """What came of holding an optimizer to the contract. Printed, it is a table.

    Attributes:
        call: what was checked, as it is written.
        driven: how, where it is not the usual way.
        outcomes: one for each law, in the order of the contract.
    """

    call: str
    driven: tuple[str, ...]
    outcomes: tuple[Outcome, ...]

    def ended(self, verdict: Verdict) -> tuple[Outcome, ...]:
        """The outcomes with this verdict: kept, broken, waived or not applicable."""
        return tuple(outcome for outcome in self.outcomes if outcome.verdict == verdict)

    @property
    def kept(self) -> tuple[Outcome, ...]:
        """The laws that hold."""
        return self.ended("kept")

    @property
    def broken(self) -> tuple[Outcome, ...]:
        """The laws that do not hold."""
        return self.ended("broken")

    def as_data(self) -> dict[str, object]:
        """The report as plain data, for JSON."""
        return {
            "call": self.call,
            "driven": list(self.driven),
            "laws": [
                {"law": each.law.name, "verdict": each.verdict, "said": each.said}
                for each in self.outcomes
            ],
        }

    def __str__(self) -> str:
        return "\n".join([self.summary(), "", *self._table(), *_explained(self.broken)])

    __repr__ = __str__

    def summary(self) -> str:
        """One line: how many laws are kept, broken, waived, not applicable."""
        verdicts: tuple[Verdict, ...] = ("kept", "broken", "waived", "not applicable")
        counted = [f"{len(self.ended(v))} {v}" for v in verdicts if self.ended(v) or v == "broken"]
        driven = f" ({', '.join(self.driven)})" if self.driven else ""
        return f"{self.call}{driven}: {', '.join(counted)}"

    def _table(self) -> Iterable[str]:
        name = max((len(each.law.name) for each in self.outcomes), default=0)
        indent = " " * (name + 18)
        for each in self.outcomes:
            line = f"{each.law.name:<{name}}  {each.verdict:<14}  {each.said}"
            yield textwrap.fill(line, WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def _explained(broken: Iterable[Outcome]) -> Iterable[str]:
    """What each broken law demands, and why."""
    for each in broken:
        yield ""
        yield f"{each.law.name}: {each.said}"
        for text in (each.law.demand, each.law.why):
            yield textwrap.fill(text, WIDTH, initial_indent="    ", subsequent_indent="    ")


class ContractBroken(AssertionError):
    """An optimizer breaks a law that it should keep; the message is the report.

    Attributes:
        report: the report.
    """

    def __init__(self, report: ContractReport) -> None:
        super().__init__(report)
        self.report = report

    def __str__(self) -> str:
        return "\n".join([self.report.summary(), *_explained(self.report.broken)])
