"""A script edited as its interventions say, and the difference as a patch."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from thalweg.edits.registry import EDITORS
from thalweg.edits.script import Script
from thalweg.edits.source import NotPlaced, Replacement
from thalweg.interventions import Intervention

CONTEXT = 3
NO_END = "\\ No newline at end of file\n"


@dataclass(frozen=True)
class Edit:
    """A changed script.

    Attributes:
        source: The script, edited.
        made: The interventions that the edit carries out.
        left: Those that have no certain place in the script, each with the reason.
    """

    source: str
    made: tuple[Intervention, ...]
    left: tuple[tuple[Intervention, str], ...] = ()


def edited(
    source: str, interventions: Sequence[Intervention], arguments: Sequence[str] = ()
) -> Edit | None:
    """Change a script's source as a person would who carries the interventions out.

    Only what can be placed for certain is changed, and nothing but that: spacing and comments stay.

    Args:
        source: The script.
        interventions: What to change; one after the other.
        arguments: The command line that it is run with: an option that is given there is not
            changed in its default.

    Returns:
        The changed script, or None if none of them could be placed.
    """
    text, made, left = source, list[Intervention](), list[tuple[Intervention, str]]()
    for one in interventions:
        try:
            text = _with(text, one, tuple(arguments))
            made.append(one)
        except NotPlaced as error:
            left.append((one, str(error)))
        except (SyntaxError, ValueError, RecursionError):
            left.append((one, "the script is no Python that can be read"))
    return Edit(text, tuple(made), tuple(left)) if made else None


def _with(text: str, change: Intervention, arguments: tuple[str, ...]) -> str:
    """The source with one intervention carried out.

    Raises:
        NotPlaced: It has no certain place.
    """
    editor: Callable[[Script, Any], list[Replacement]] | None = EDITORS.get(change.kind)
    if editor is None:
        raise NotPlaced("there is no line of code for it")
    script = Script(text, arguments)
    after = script.source.changed(editor(script, change))
    if after == text:
        raise NotPlaced("the script has it already")
    try:
        compile(after, "script", "exec", dont_inherit=True)
    except SyntaxError:
        raise NotPlaced("the change does not fit into the way that the script is written") from None
    return after


def diff(path: str, before: str, after: str) -> str:
    """The difference of two sources as a unified diff that ``patch`` understands."""
    lines = difflib.unified_diff(_lines(before), _lines(after), path, path, n=CONTEXT)
    return "".join(line if line.endswith("\n") else f"{line}\n{NO_END}" for line in lines)


def _lines(text: str) -> list[str]:
    return re.findall(r"[^\n]*\n|[^\n]+\Z", text)
