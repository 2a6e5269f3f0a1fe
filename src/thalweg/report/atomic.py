"""Write a text file whole or not at all.

The text goes to a new file in the same folder, is forced to the disk, and takes the name in one
step of the file system (rename), so that a full disk or a power cut never leaves half a report
where a whole one was. What exists and is no regular file (`/dev/stdout`, a pipe) is written to
directly.
"""

import contextlib
import os
import secrets
from pathlib import Path

from thalweg.report.schema import ReportError, reason


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`; an older file there is replaced.

    A symbolic link is followed. Parts of the text that UTF-8 cannot hold are written as backslash
    escapes.

    Raises:
        ReportError: The file cannot be written; the message names the path and the reason, and
            what was at `path` before is still there.
    """
    data = text.encode("utf-8", errors="backslashreplace")
    try:
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file() and not target.is_dir():
            target.write_bytes(data)
        else:
            replace(target, data)
    except (OSError, ValueError) as error:
        raise ReportError(f"cannot write {path}: {advice(folder_of(path), error)}.") from error


def replace(target: Path, data: bytes) -> None:
    """Put `data` into a new file beside `target`, then give it that name."""
    if target.is_dir():
        raise IsADirectoryError(None, "it is a folder; name a file in it")
    draft = target.with_name(f".{target.name[:64]}.{secrets.token_hex(4)}")
    try:
        write_bytes(draft, data)
        os.replace(draft, target)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file that does not exist yet and wait until the disk has it."""
    # 0o666 leaves the permissions to the user's umask; tempfile's 0o600 would hide the report.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def folder_of(path: str | Path) -> Path:
    """The folder that a new file at `path` would lie in."""
    return Path(path).absolute().parent


def advice(folder: Path, error: Exception) -> str:
    """Why the write failed, in the words that help most."""
    if isinstance(error, FileNotFoundError):
        return f"the folder {folder} does not exist; create it first"
    return reason(error)
