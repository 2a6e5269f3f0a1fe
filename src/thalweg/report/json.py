"""Write a report as strict JSON.

NaN and infinity, which JSON does not have and Python would write anyway, become null.
"""

import json
import math
import numbers
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from thalweg.report.atomic import write_text


def write(data: Mapping[str, Any], path: str | Path) -> None:
    """Write the report `data` to `path`, whole or not at all.

    Raises:
        ReportError: The file cannot be written; the message names the path and the reason.
        TypeError: `data` holds something that is no plain data; the message names its place.
    """
    write_text(path, json.dumps(plain(data), indent=1, allow_nan=False) + "\n")


def plain(value: Any, where: str = "report") -> Any:
    """`value` as data that JSON can hold: dicts, lists, texts, finite numbers, booleans, None.

    Args:
        value: The same with tuples, paths, numbers of other libraries, NaN and infinity.
        where: What to call it in the error.

    Raises:
        TypeError: It holds anything else.
    """
    match value:
        case None | bool() | str() | int():
            return value
        case float():
            return float(value) if math.isfinite(value) else None
        case Mapping():
            return {
                key_text(key, where): plain(item, f"{where}.{key}") for key, item in value.items()
            }
        case list() | tuple():
            return [plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
        case numbers.Integral():
            return int(value)
        case numbers.Real():
            return float(value) if math.isfinite(value) else None
        case PurePath():
            return str(value)
    raise TypeError(
        f"{where} is a {type(value).__name__}, which JSON cannot hold: "
        "convert it to a number, a text or a list before it goes into a report."
    )


def key_text(key: Any, where: str) -> str:
    """A key of a JSON object, which must be a text."""
    if not isinstance(key, str):
        raise TypeError(f"{where} has the key {key!r}; the keys of a report must be texts.")
    return key
