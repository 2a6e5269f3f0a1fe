"""Read a report from disk and check it: `read` and `validate`, with one clear error.

What a report holds is stated in `schema.json` and described in `docs/report.md`. Needs nothing but
the standard library, so that `thalweg run --apply REPORT.json` works wherever PyTorch does.
"""

import json
from collections.abc import Mapping
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, Final, NoReturn

from thalweg.report.checking import complaints, is_number

VERSION: Final = 1
SHOWN_COMPLAINTS: Final = 3

Report = dict[str, Any]


class ReportError(ValueError):
    """A report that cannot be read, does not fit the schema, or cannot be written."""


@cache
def schema() -> Mapping[str, Any]:
    """The JSON Schema of a report, as data."""
    text = Path(__file__).with_name("schema.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def read(path: str | Path) -> Report:
    """The report in the file `path`, checked.

    Raises:
        ReportError: The file is missing or unreadable, is not JSON, was written for a newer
            schema, or does not fit the schema; the message begins with the path.
    """
    return validate(parsed(text_of(path), str(path)), str(path))


def text_of(path: str | Path) -> str:
    """The text of a file, or a `ReportError` that says why there is none."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ReportError(
            f"{path}: no such file. Write a report with: thalweg diagnose --json {path} SCRIPT"
        ) from None
    except UnicodeDecodeError:
        raise ReportError(f"{path}: not JSON: it is not text in UTF-8.") from None
    except (OSError, ValueError) as error:
        raise ReportError(f"{path}: cannot be read: {reason(error)}.") from error


def reason(error: Exception) -> str:
    """The operating system's words for an error, without the path that the caller names."""
    return getattr(error, "strerror", None) or str(error)


def parsed(text: str, name: str) -> Any:
    """`text` as strict JSON, without NaN and infinity, or a `ReportError`."""
    try:
        return json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise ReportError(f"{name}: not JSON: {error.msg} at {place}.") from None
    except (ValueError, RecursionError) as error:
        raise ReportError(f"{name}: not JSON: {error}.") from None


def refuse(constant: str) -> NoReturn:
    """Refuse the numbers that Python reads and JSON does not have."""
    raise ValueError(f"{constant} is not a number of JSON")


def validate(data: Any, name: str = "report") -> Report:
    """`data` itself if it is a report of this schema; keys that the schema lacks are allowed.

    Args:
        data: A report as plain data: dicts, lists, texts, numbers, booleans and None.
        name: What to call it in the error, such as its path.

    Raises:
        ReportError: It is not, with up to three reasons, each naming its place.
    """
    check_version(data, name)
    wrong = list(islice(complaints(data, schema(), schema()), SHOWN_COMPLAINTS + 1))
    if wrong:
        more = "; and more" if len(wrong) > SHOWN_COMPLAINTS else ""
        listed = "; ".join(wrong[:SHOWN_COMPLAINTS])
        raise ReportError(f"{name}: does not fit schema {VERSION}: {listed}{more}.")
    return dict(data)


def check_version(data: Any, name: str) -> None:
    """Refuse data that is no report, or one from another schema, before its details are read."""
    if not isinstance(data, dict) or "schema" not in data:
        raise ReportError(
            f'{name}: not a Thalweg report: it has no "schema". '
            "Write one with: thalweg diagnose --json PATH SCRIPT"
        )
    version = data["schema"]
    if is_number(version) and version > VERSION:
        raise ReportError(
            f"{name}: written by a newer Thalweg (schema {version}; this one reads {VERSION}): "
            "upgrade with: pip install --upgrade thalweg"
        )
