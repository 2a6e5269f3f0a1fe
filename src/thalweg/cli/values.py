"""Values of options: text from the command line, checked and converted.

Each function is an argparse type: it returns the value, or raises with what to write instead.
"""

import math
import re
from argparse import ArgumentTypeError

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


def as_number(text: str) -> float:
    """`text` as a number, or not-a-number."""
    try:
        return float(text)
    except ValueError:
        return math.nan
