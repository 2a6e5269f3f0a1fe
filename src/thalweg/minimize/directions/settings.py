"""Checks of the numbers that directions are made with."""

import math

import torch


def check_share(direction: str, name: str, value: float | None) -> None:
    """Raise ValueError unless `value` is above 0 and at most 1; None is let through."""
    if value is not None and not 0 < value <= 1:
        raise ValueError(f"{direction}({name}={value}): give a share, above 0 and at most 1.")


def check_positive(direction: str, name: str, value: float | None) -> None:
    """Raise ValueError unless `value` is positive and finite; None is let through."""
    if value is not None and not 0 < value < math.inf:
        raise ValueError(f"{direction}({name}={value}): give a positive, finite number.")


def check_not_negative(direction: str, name: str, value: float | None) -> None:
    """Raise ValueError unless `value` is at least 0 and finite; None is let through."""
    if value is not None and not 0 <= value < math.inf:
        raise ValueError(f"{direction}({name}={value}): give a finite number, at least 0.")


def check_count(direction: str, name: str, value: int) -> None:
    """Raise ValueError unless `value` is at least 1."""
    if not value >= 1:
        raise ValueError(f"{direction}({name}={value}): give at least 1.")


def check_choice(direction: str, name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise ValueError unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{direction}({name}={value!r}): choose one of {', '.join(choices)}.")


def root_of_rounding(dtype: torch.dtype) -> float:
    """The root of the unit of rounding, the usual bound on what is solved with: 1.5e-8 in float64.

    Nocedal & Wright, *Numerical Optimization* (2006), section 3.4.
    """
    return math.sqrt(torch.finfo(dtype).eps)
