"""The closures that programs give to an optimizer's step."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Closure = Callable[[], Any]


def closure_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Closure | None:
    """The closure among a step's arguments (the optimizer first); None if it was given none."""
    closure = args[1] if len(args) > 1 else kwargs.get("closure")
    return closure if callable(closure) else None


def with_closure(
    args: tuple[Any, ...], kwargs: dict[str, Any], change: Callable[[Closure], Closure]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """A step's arguments with the closure changed; None, which leaves them, if it has none."""
    closure = closure_of(args, kwargs)
    if closure is None:
        return None
    if len(args) > 1:
        return (args[0], change(closure), *args[2:]), kwargs
    return args, kwargs | {"closure": change(closure)}


def followed(closure: Closure, evaluated: Callable[[], None]) -> Closure:
    """The closure, telling of each evaluation that has come to its end."""

    @functools.wraps(closure)
    def evaluate() -> Any:
        result = closure()
        evaluated()
        return result

    return evaluate
