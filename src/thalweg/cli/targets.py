"""Whether a report can be written, found out before minutes are spent on making it."""

import tempfile
from pathlib import Path

from thalweg.cli.command import UsageError


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
