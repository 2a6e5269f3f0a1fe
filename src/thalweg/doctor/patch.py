"""A remedy as a patch of the script: the lines that a person would change."""

from __future__ import annotations

import io
import tokenize
from collections.abc import Sequence
from pathlib import Path

from thalweg.edits import diff, edited
from thalweg.interventions import Intervention


def patch(script: Path, arguments: Sequence[str], remedy: Sequence[Intervention]) -> str:
    """The remedy as a unified diff; empty unless all of it has a certain place in the script."""
    before = _source(script)
    edit = None if before is None else edited(before, remedy, arguments)
    if before is None or edit is None or edit.left:
        return ""
    return diff(str(script), before, edit.source)


def _source(script: Path) -> str | None:
    """The script with its own ends of lines; None if it cannot be read."""
    try:
        data = script.read_bytes()
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return data.decode(encoding)
    except (OSError, SyntaxError, UnicodeDecodeError):
        return None
