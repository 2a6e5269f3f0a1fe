"""Values of options: text from the command line, checked and converted.

Each function is an argparse type: it returns the value, or raises with what to write instead.
"""

import ast
import math
import re
from argparse import ArgumentTypeError
from typing import Any, NamedTuple

SECONDS_PER_UNIT = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def duration(text: str) -> float:
    """Seconds in `90`, `90s`, `1.5m` or `2h`."""
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*([smh]?)", text.strip())
    if match is None or float(match[1]) == 0:
        raise ArgumentTypeError(
            f"{text!r} is not a length of time: write seconds (90 or 90s), minutes (5m), hours (1h)"
        )
    return float(match[1]) * SECONDS_PER_UNIT[match[2]]


def positive(text: str) -> float:
    """A finite number above zero."""
    number = as_number(text)
    if not 0 < number < math.inf:
        raise ArgumentTypeError(f"{text!r} must be a number above zero, such as 0.01")
    return number


def count(text: str) -> int:
    """A whole number above zero."""
    if not re.fullmatch(r"\d+", text) or int(text) == 0:
        raise ArgumentTypeError(f"{text!r} must be a whole number above zero, such as 500")
    return int(text)


def seed(text: str) -> int:
    """A whole number from 0 to 2**32 - 1, which every random generator accepts."""
    if not re.fullmatch(r"\d+", text) or int(text) >= 2**32:
        raise ArgumentTypeError(f"{text!r} must be a whole number from 0 to 2**32 - 1")
    return int(text)


def names(text: str) -> tuple[str, ...]:
    """The names in a list separated by commas."""
    found = tuple(name.strip() for name in text.split(",") if name.strip())
    if not found:
        raise ArgumentTypeError("names nothing: write one or more codes separated by commas")
    return found


class Called(NamedTuple):
    """A name with the settings that stand in brackets behind it."""

    name: str
    settings: dict[str, Any]


def called(text: str) -> Called:
    """`lbfgs`, or with settings `lbfgs(memory=20)`; words need no quotes."""
    match = re.fullmatch(r"\s*([^()]*[^()\s])\s*(?:\((.*)\))?\s*", text, re.DOTALL)
    try:
        if match is None:
            raise ValueError(text)
        call = ast.parse(f"f({match[2] or ''})", mode="eval").body
        return Called(match[1], settings_of(call))
    except (SyntaxError, ValueError):
        raise ArgumentTypeError(
            f"{text!r} must be a name, or a name with settings, such as lbfgs(memory=20)"
        ) from None


def settings_of(call: ast.expr) -> dict[str, Any]:
    """The arguments of a call by name; raises ValueError if some have none, or are no values."""
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise ValueError(ast.unparse(call))
    if call.args or not all(one.arg for one in call.keywords):
        raise ValueError(ast.unparse(call))
    return {str(one.arg): value_of(one.value) for one in call.keywords}


def value_of(value: ast.expr) -> Any:
    """A number, a word, a list: what is written in Python."""
    return value.id if isinstance(value, ast.Name) else ast.literal_eval(value)


def as_number(text: str) -> float:
    """`text` as a number, or not-a-number."""
    try:
        return float(text)
    except ValueError:
        return math.nan
