"""Libraries that may be missing: what is built on them can be imported, and says so when used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any


def needed(library: str, user: str, extra: str) -> Any:
    """The library, imported.

    Args:
        library: Its dotted name.
        user: What needs it, as the call was written.
        extra: The extra of this package that installs it.

    Raises:
        ImportError: It is not installed.
    """
    try:
        return importlib.import_module(library)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{user} needs {error.name}: install it with: pip install 'thalweg[{extra}]'",
            name=error.name,
        ) from error


def base(libraries: Sequence[str], name: str) -> type:
    """A class to build on: that of the first library in use or installed; `object` if none is.

    Args:
        libraries: Dotted names of libraries that have it, the preferred one first. One that the
            program has imported already comes before one that it has not.
        name: The class's name.
    """
    for library in sorted(libraries, key=lambda one: one not in sys.modules):
        try:
            return vars(importlib.import_module(library))[name]  # type: ignore[no-any-return]
        except ModuleNotFoundError as error:
            if not library.startswith((error.name or "").partition(".")[0] or library):
                raise  # the library is there, and something that it needs is not
    return object
