"""Optimizers, methods and searches by the names that people write."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from thalweg.interventions.intervention import InterventionError
from thalweg.minimize.names import DIRECTIONS
from thalweg.minimize.spelling import known_as, suggestion
from thalweg.optim import OPTIMIZERS

T = TypeVar("T")


def updates_named(name: str) -> tuple[str, str]:
    """The kind of the intervention that makes updates by a name, and the name as it knows it.

    Raises:
        InterventionError: No optimizer and no method has this name; the message has the nearest.
    """
    tables: dict[str, Collection[str]] = {"optimizer": OPTIMIZERS, "method": DIRECTIONS}
    for kind, known in tables.items():
        if name in known:
            return kind, name
    for kind, known in tables.items():
        if found := known_as(name, known):
            return kind, found
    raise InterventionError(unknown("optimizer or method", name, [*OPTIMIZERS, *DIRECTIONS]))


def canonical(what: str, name: str, known: Collection[str]) -> str:
    """The one of `known` that is meant.

    Raises:
        InterventionError: There is none; the message has the nearest.
    """
    found = known_as(name, known)
    if found is None:
        raise InterventionError(f"method: {unknown(what, name, known)}")
    return found


def unknown(what: str, name: str, known: Collection[str]) -> str:
    """What to say about a name that nothing has."""
    return f"there is no {what} {name!r}; {suggestion(name, known)}"


def made(name: str, known: Mapping[str, Callable[..., T]], settings: Mapping[str, Any]) -> T:
    """A direction or a search with these settings.

    Raises:
        InterventionError: It has no such setting, or not with this value.
    """
    has = inspect.signature(known[name]).parameters
    for setting in settings:
        if setting not in has:
            raise InterventionError(
                f"method: {name} has no setting {setting!r}; it has {', '.join(has) or 'none'}"
            )
    try:
        return known[name](**settings)
    except (TypeError, ValueError) as error:
        raise InterventionError(f"method: {error}") from None
