"""What a law is, and how checking one ends.

A law is a function that takes the optimizer under test, as a `Subject`, and returns if the law is
kept; it may return a sentence on how. Its docstring declares it: the first paragraph is what it
demands, the second why that matters; its name, with hyphens, is the law's.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from thalweg.testing.subject import Subject

Verdict = Literal["kept", "broken", "waived", "not applicable"]
Check = Callable[[Subject], str | None]


class Broken(AssertionError):
    """The optimizer breaks the law; the message says what was seen."""


class NotApplicable(Exception):
    """The law does not concern this optimizer; the message says why."""


@dataclass(frozen=True)
class Law:
    """One demand of the contract."""

    name: str
    demand: str
    why: str
    check: Check


@dataclass(frozen=True)
class Outcome:
    """What came of holding one optimizer to one law."""

    law: Law
    verdict: Verdict
    said: str  # what was seen, or why the law does not apply; may be empty


LAWS: dict[str, Law] = {}


def law(check: Check) -> Check:
    """Put a law on the shelf; see the module for how to write one.

    Raises:
        TypeError: the function does not say what it demands and why.
    """
    name = check.__name__.replace("_", "-")
    demand, _, why = inspect.cleandoc(check.__doc__ or "").partition("\n\n")
    if not demand or not why:
        raise TypeError(f"law {name}: the docstring must give the demand, then the reason for it.")
    LAWS[name] = Law(name, " ".join(demand.split()), " ".join(why.split()), check)
    return check
