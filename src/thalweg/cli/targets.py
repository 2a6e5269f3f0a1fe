"""The files of a report: whether they can be written, found out before it is made; and writing."""

import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from thalweg.cli.command import UsageError

Writer = Callable[[dict[str, Any], str], None]


def check(**targets: str | None) -> None:
    """Refuse files that could not be written, or that would overwrite each other.

    Args:
        **targets: File by option, as in `json="out.json"`; None where the option was not given.

    Raises:
        UsageError: A folder is missing or cannot be written to, or two options name one file.
    """
    seen: dict[Path, str] = {}
    for option, target in targets.items():
        if target is None:
            continue
        path = Path(target)
        check_one(f"--{option} {target}", path)
        other = seen.setdefault(path.resolve(), option)
        if other != option:
            raise UsageError(f"--{other} and --{option} both name {target}: give each its own file")


def check_one(call: str, path: Path) -> None:
    """Refuse one file that could not be written."""
    if path.is_dir():
        raise UsageError(f"{call}: this is a folder; name a file in it")
    if path.exists() and not path.is_file():
        return  # a device or a pipe, such as /dev/stdout: written to as it is
    folder = path.resolve().parent
    if not folder.is_dir():
        raise UsageError(f"{call}: the folder {folder} does not exist; make it first")
    try:
        # Permissions alone do not tell: root may write to a folder of a read-only file system.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(f"{call}: cannot write to {folder}: {error.strerror}") from None


def written(
    command: str, data: dict[str, Any], writers: Sequence[tuple[str, Writer, str | None]]
) -> tuple[list[str], bool]:
    """Write the files that were asked for.

    A file that cannot be written costs an error line and nothing else.

    Args:
        command: The command's name, for errors.
        data: What to write.
        writers: What to call each file, how to write it, and where; None if it was not asked for.

    Returns:
        A line for each file that says where it is, and whether all could be written.
    """
    from thalweg.report import ReportError

    lines, all_well = [], True
    for title, write, path in writers:
        if path is None:
            continue
        try:
            write(data, path)
            lines.append(f"{title}: {path}")
        except ReportError as error:
            print(f"thalweg {command}: {error}", file=sys.stderr)
            all_well = False
    return lines, all_well
